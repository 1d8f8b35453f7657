// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

func (a *app) edit() *cobra.Command {
	return &cobra.Command{
		Use:   "edit NAME",
		Short: "edit a definition, check it, and reload",
		Long: `Open a definition in an editor ($SYSTEMD_EDITOR, $EDITOR, $VISUAL). It is checked
before it takes the old one's place, and systemd is reloaded; unitc apply then
changes what runs. One of a package is copied to /etc/unitc and changed there.`,
		Args:              exactly(1, "the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			found, err := catalog.Find(a.root, args[0])
			if err != nil {
				return err
			}
			return a.editFound(found)
		},
	}
}

// editors that are looked for where no variable names one, as systemctl does.
var editors = []string{"editor", "nano", "vim", "vi"}

func editor() ([]string, error) {
	for _, name := range []string{"SYSTEMD_EDITOR", "EDITOR", "VISUAL"} {
		if words := strings.Fields(os.Getenv(name)); len(words) > 0 {
			return words, nil
		}
	}
	for _, name := range editors {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, fmt.Errorf("no editor: $EDITOR is not set, and there is none of %s", strings.Join(editors, ", "))
}

func (a *app) editFound(found *catalog.Found) error {
	before, err := os.ReadFile(a.root + found.Entry.Path)
	if err != nil {
		return err
	}
	path := found.Entry.Path
	if !isAdministrators(path) {
		path = searchpath.Dirs[0] + "/" + filepath.Base(path)
	}
	// The text may hold passwords, so the directory is ours alone.
	dir, err := os.MkdirTemp("", "unitc-edit-")
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, filepath.Base(path))
	keep := false
	defer func() {
		if !keep {
			_ = os.RemoveAll(dir)
		}
	}()
	if err := os.WriteFile(temp, before, 0o600); err != nil {
		return err
	}
	after, err := a.editUntilRight(found, path, temp)
	if err != nil {
		keep = !errors.Is(err, errUnchanged)
		if keep {
			err = fmt.Errorf("%w; your text is kept in %s", err, temp)
		}
		return err
	}
	if bytes.Equal(before, after) {
		fmt.Fprintf(a.stderr, "'%s' was not changed.\n", path)
		return nil
	}
	now, err := os.ReadFile(a.root + found.Entry.Path)
	if err == nil && !bytes.Equal(now, before) {
		err = fmt.Errorf("%s was changed by somebody else meanwhile", found.Entry.Path)
	}
	if err == nil {
		err = a.replaceDefinition(path, after)
	}
	if err != nil {
		keep = true
		return fmt.Errorf("%w; your text is kept in %s", err, temp)
	}
	if a.root != "" || a.booted() != nil {
		return nil
	}
	return a.systemctl("daemon-reload")
}

var errUnchanged = errors.New("given up")

func (a *app) replaceDefinition(path string, data []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil && a.root == "" {
		path = target // a link is another name of the file, and stays one
	}
	mode := fs.FileMode(0o644)
	if st, err := os.Stat(a.root + path); err == nil {
		mode = st.Mode().Perm()
	}
	if err := os.MkdirAll(filepath.Dir(a.root+path), 0o755); err != nil {
		return err
	}
	if err := atomicfile.Write(a.root+path, data, mode); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Wrote '%s'.\n", path)
	return nil
}

// editUntilRight opens the editor until the text has no error, or somebody says
// that it is to be installed, or thrown away.
func (a *app) editUntilRight(found *catalog.Found, path, temp string) ([]byte, error) {
	words, err := editor()
	if err != nil {
		return nil, err
	}
	for {
		cmd := exec.Command(words[0], append(slices.Clone(words[1:]), temp)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("running %s: %w", words[0], err)
		}
		data, err := os.ReadFile(temp)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return nil, fmt.Errorf("the text is empty: %w", errUnchanged)
		}
		problems := problemsOf(found, path, data)
		if !problems.HasErrors() {
			return data, nil
		}
		fmt.Fprint(a.stderr, terminal.CleanText(problems.String()))
		switch a.ask("edit again, install it as it is, or give up? [e/i/g] ") {
		case "e":
		case "i":
			return data, nil
		case "":
			return nil, errors.New("the definition has errors and was not installed")
		default:
			return nil, errUnchanged
		}
	}
}

// problemsOf checks a text in the place of a definition's file, its drop-ins and
// variables included.
func problemsOf(found *catalog.Found, path string, data []byte) diag.List {
	source := found.Source
	source.Path = path
	source.Layers = append([]searchpath.Layer{{Path: path, Data: data}}, source.Layers[min(1, len(source.Layers)):]...)
	return loader.Parse(source, library.Full).Problems
}

// ask gives the first letter of an answer, "" where nobody can answer.
func (a *app) ask(question string) string {
	if terminal.Of(a.stderr).Width == 0 {
		return ""
	}
	fmt.Fprint(a.stderr, question)
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.ToLower((strings.TrimSpace(line) + "g")[:1])
}
