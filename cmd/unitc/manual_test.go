// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manual = "../../docs/man/unitc.1.md"

func testApp() *app { return &app{stdout: os.Stdout, stderr: os.Stderr} }

// sections are the parts of the manual under "## unitc VERB …".
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	verb := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "## unitc "); ok {
			verb, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
		} else if strings.HasPrefix(line, "# ") {
			verb = ""
		}
		list[verb] += line
	}
	return list
}

var documented = regexp.MustCompile(`\*\*--([a-z0-9-]+)\*\*`)

// Each verb that operators call stands in README's table.
func TestReadmeNamesEveryVerb(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## What works today")
	named := strings.FieldsFunc(table, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz-", r) })
	for _, cmd := range testApp().command().Commands() {
		if others := []string{"help", "version", "completion", "wait-for"}; !slices.Contains(others, cmd.Name()) && !slices.Contains(named, cmd.Name()) {
			t.Errorf("README's table does not name unitc %s", cmd.Name())
		}
	}
}

// Each verb and each of its flags stands in the manual, and nothing else does.
func TestManualHasEveryVerbAndFlag(t *testing.T) {
	text := sections(t)
	for _, cmd := range testApp().command().Commands() {
		section, ok := text[cmd.Name()]
		delete(text, cmd.Name())
		if !ok {
			t.Errorf("the manual has no section on unitc %s", cmd.Name())
			continue
		}
		in := map[string]bool{}
		for _, m := range documented.FindAllStringSubmatch(section, -1) {
			in[m[1]] = true
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !in[f.Name] {
				t.Errorf("the manual does not have --%s of unitc %s", f.Name, cmd.Name())
			}
			if f.Shorthand != "" && f.Name != "help" && !strings.Contains(section, "**-"+f.Shorthand+"**") {
				t.Errorf("the manual does not have -%s of unitc %s", f.Shorthand, cmd.Name())
			}
			delete(in, f.Name)
		})
		for flag := range in {
			if flag != "root" {
				t.Errorf("the manual has --%s of unitc %s, which does not", flag, cmd.Name())
			}
		}
	}
	delete(text, "")
	for verb := range text {
		t.Errorf("the manual has a section on unitc %s, and there is no such verb", verb)
	}
}

var statusConstant = regexp.MustCompile(`(?m)^\texit[A-Za-z]+ += ([0-9]+)`)

func TestManualHasEveryExitStatus(t *testing.T) {
	source, err := os.ReadFile("exit.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "# EXIT STATUS\n")
	after, _, _ = strings.Cut(after, "\n# ")
	found := statusConstant.FindAllStringSubmatch(string(source), -1)
	if len(found) < 6 {
		t.Fatalf("%d exit statuses in exit.go", len(found))
	}
	for _, m := range found {
		if !strings.Contains(after, "**"+m[1]+"**\n") {
			t.Errorf("the manual does not have exit status %s", m[1])
		}
	}
}

// Commands in documents are commands: their verbs exist, and have the flags.
func TestCommandsInDocuments(t *testing.T) {
	count := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/man/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no documents at %s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if command, ok := strings.CutPrefix(line, "    unitc "); ok {
					count++
					command, _, _ = strings.Cut(command, "#")
					checkCommand(t, path, strings.Fields(command))
				}
			}
		}
	}
	if count < 5 {
		t.Errorf("only %d commands in all documents", count)
	}
}

func checkCommand(t *testing.T, path string, args []string) {
	t.Helper()
	args = testApp().takeUser(args)
	root := testApp().command()
	cmd, rest, err := root.Find(args)
	if err == nil && cmd == root {
		err = cobra.MinimumNArgs(len(args)+1)(root, args)
	}
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: unitc %s: %v", path, strings.Join(args, " "), err)
	}
}
