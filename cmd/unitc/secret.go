// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/credential"
	"github.com/unitc/unitc/internal/realm"
)

// secretStore is systemd's own store of encrypted credentials: the same secret
// serves any unit of the host, or of the user, systemd decrypts it with the host's key
// or its TPM, and unitc keeps no key.
func secretStore() string { return realm.Credentials() }

// maxSecret is what systemd takes as a credential, in bytes.
const maxSecret = 1 << 20

func (a *app) secret() *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "secret VERB",
		Short: "set, list or remove secrets of the host",
		Long: `Keep secrets that definitions name with external: true, encrypted by
systemd-creds(1) with the host's key and its TPM in /etc/credstore.encrypted.
systemd decrypts them for the units that ask for them. A user's are in
~/.config/credstore.encrypted, and nobody else can decrypt them but root.`,
	}, a.secretSet(), a.secretList(), a.secretRemove())
}

func (a *app) secretSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME [FILE]",
		Short: "encrypt standard input, or a file, as a secret",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly(1, "the name of a secret, and a file if it is not standard input")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkSecretName(args[0]); err != nil {
				return err
			}
			// Before it is asked for: it would be typed for nothing.
			if err := mayEncrypt(args[0]); err != nil {
				return err
			}
			content, err := a.readSecret(args)
			switch {
			case err != nil:
				return err
			case len(content) > maxSecret:
				return usagef("secret set: more than the %d KiB that systemd takes", maxSecret>>10)
			case len(content) == 0:
				// In the place of one that works it would be found at the next start.
				return usagef("secret set: the secret is empty; look at the command or the file that was to give it")
			}
			return storeSecret(args[0], content)
		},
	}
}

// readSecret reads it from the file that is named or from standard input; on a
// terminal it is asked for, and not shown.
func (a *app) readSecret(args []string) ([]byte, error) {
	in := a.stdin
	switch f, ok := in.(*os.File); {
	case len(args) == 2 && args[1] != "-":
		named, err := os.Open(args[1])
		if err != nil {
			return nil, err
		}
		defer named.Close()
		in = named
	case len(args) == 1 && ok && session.IsTerminal(f):
		line, err := session.ReadHidden(f, func() { fmt.Fprintf(a.stderr, "Secret %s (one line): ", args[0]) }, maxSecret)
		fmt.Fprintln(a.stderr)
		if errors.Is(err, session.ErrInterrupted) {
			return nil, statusError(128 + int(unix.SIGINT))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the secret: %w", err)
		}
		return []byte(line), nil
	}
	content, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("reading the secret: %w", err)
	}
	return content, nil
}

// mayEncrypt tells why the caller may not.
func mayEncrypt(name string) error {
	switch {
	case realm.Own() == nil && os.Geteuid() != 0:
		return fmt.Errorf("encrypting %s: %w", name, fs.ErrPermission)
	case realm.Own() != nil:
		if err := credential.Available(); err != nil {
			return fmt.Errorf("encrypting %s: %w; write `file:` or `environment:` in the definition's secrets", name, err)
		}
	}
	return nil
}

// storeSecret has systemd-creds encrypt; the secret travels by a pipe, and what
// is written is complete before it has its name.
func storeSecret(name string, content []byte) error {
	var whose []string
	if realm.Own() != nil {
		whose = []string{"--user"}
	}
	if err := os.MkdirAll(secretStore(), 0o700); err != nil {
		return err
	}
	var text, stderr bytes.Buffer
	var err error
	// Without a TPM, and with /var in memory, systemd's own choice is no key at all.
	for _, key := range []string{"auto", "host"} {
		text.Reset()
		stderr.Reset()
		cmd := exec.Command("systemd-creds", slices.Concat([]string{"encrypt", "--quiet"}, whose, []string{"--with-key=" + key, "--name=" + name, "-", "-"})...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(content), &text, &stderr
		if err = cmd.Run(); err == nil && text.Len() > 0 {
			break
		}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("encrypting %s: %w; install systemd 250 or later", name, err)
	}
	if err != nil {
		why := strings.TrimSpace(stderr.String())
		if strings.HasSuffix(why, "io.systemd.System") {
			why += "; without a TPM the host needs a key on a disk (systemd-creds setup, as root); the system's log says more, at systemd-creds@*"
		}
		return fmt.Errorf("encrypting %s: %w: %s", name, err, why)
	}
	return atomicfile.Write(filepath.Join(secretStore(), name), text.Bytes(), 0o600)
}

// storedSecrets are the names in the store.
func storedSecrets() ([]string, error) {
	entries, err := os.ReadDir(secretStore())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := []string{}
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (a *app) secretList() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "ls [--json]",
		Short: "list the names of secrets",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			names, err := storedSecrets()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(names)
			}
			t := terminal.Table{Header: []string{"NAME"}}
			for _, name := range names {
				t.Add(name)
			}
			return t.Write(terminal.Of(a.stdout))
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) secretRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME…",
		Short: "remove secrets",
		Args:  some("the name of a secret"),

		ValidArgsFunction: a.completer(func() []string { names, _ := storedSecrets(); return names }),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if err := a.checkSecretName(name); err != nil {
					return err
				}
				known, err := storedSecrets()
				if err != nil {
					return err
				}
				if !slices.Contains(known, name) {
					return &catalog.NotFoundError{What: "secret", Name: name, Nearest: compose.Nearest(name, known), None: len(known) == 0}
				}
				if err := atomicfile.Remove(filepath.Join(secretStore(), name)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// checkSecretName: it becomes a file's name and stands in units.
func (a *app) checkSecretName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	switch {
	case a.root != "":
		return usagef("secret: the key of --root %s is not this host's", a.root)
	case name == "" || len(name) > 200 || strings.Trim(name, allowed) != "" || strings.ContainsAny(name[:1], ".-"):
		return usagef("secret: %q is no name; use letters, digits, _ . and -", name)
	}
	return nil
}
