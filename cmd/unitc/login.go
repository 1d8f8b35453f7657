// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/reference"
)

// maxPassword bounds what is read of a password, in bytes: tokens are long.
const maxPassword = 64 << 10

func (a *app) login() *cobra.Command {
	user, authFile, registries, fromStdin := "", "", "", false
	cmd := &cobra.Command{
		Use:   "login [OPTION…] REGISTRY",
		Short: "keep credentials for a registry",
		Long: `Ask for a user and a password, have the registry check them, and keep them in
/etc/unitc/auth.json, where pulls of units look for them, at boot too; a user's are
in ~/.config/unitc. The file is its owner's alone to read; the password in it is not
encrypted. REGISTRY is a host, or a part of a registry as quay.io/org; Docker Hub is docker.io.`,
		Example:           "  unitc login registry.example.com\n  pass show registry | unitc login -u ci --password-stdin registry.example.com",
		Args:              exactly(1, "a registry, as docker.io"),
		ValidArgsFunction: a.completer(a.registryHosts),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.noRootForLogin("login"); err != nil {
				return err
			}
			account, err := image.ParseAccount(args[0], registries)
			if err != nil {
				return usagef("login: %w", err)
			}
			path, named := authFile, false
			if path == "" {
				path, named = image.LoginFile()
			}
			if err := image.Keepable(path); err != nil {
				return err
			}
			if !strings.Contains(args[0], account.Key) && account.Key != "docker.io" {
				fmt.Fprintf(a.stderr, "registries.conf sends %s to %s\n", args[0], account.Key)
			}
			password := ""
			if fromStdin {
				password, err = a.passwordFromStdin(user)
			} else {
				user, password, err = a.askCredentials(account.Key, user)
			}
			if err != nil {
				return err
			}
			if strings.Contains(user, ":") {
				return usagef("login: user %q: a colon cannot stand in it (auth.json(5))", user)
			}
			ctx, stop := untilInterrupted(context.Background())
			defer stop()
			asked, err := account.Check(ctx, user, password)
			if err != nil {
				return err
			}
			if err := account.Login(ctx, path, user, password); err != nil {
				return err
			}
			if !asked {
				fmt.Fprintf(a.stderr, "%s asks for no credentials, so that these were not checked\n", account.Key)
			}
			if named {
				fmt.Fprintf(a.stderr, "%s is named by REGISTRY_AUTH_FILE, which units do not have: they look into %s/auth.json\n", path, realm.Config)
			}
			fmt.Fprintf(a.stdout, "%s: logged in as %s; the password is in %s, not encrypted\n", account.Key, terminal.Clean(user), path)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&user, "username", "u", "", "log in as `USER`")
	f.BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	f.StringVar(&authFile, "authfile", "", "keep them in `FILE`")
	f.StringVar(&registries, "registries-conf", "", "read `FILE` instead of registries.conf")
	return cmd
}

// noRootForLogin: what pulls into another root takes the credentials of this host.
func (a *app) noRootForLogin(verb string) error {
	if a.root != "" {
		return usagef("%s: pulls into --root %s show what this host has; for an image's own write --authfile %[2]s/etc/unitc/auth.json without --root", verb, a.root)
	}
	return nil
}

func (a *app) passwordFromStdin(user string) (string, error) {
	if user == "" {
		return "", usagef("login: --password-stdin wants --username")
	}
	data, err := io.ReadAll(io.LimitReader(a.stdin, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return password, checkPassword(password)
}

func checkPassword(password string) error {
	switch {
	case password == "":
		return usagef("login: the password is empty")
	case len(password) > maxPassword:
		return usagef("login: a password of more than %d KiB", maxPassword>>10)
	case strings.ContainsAny(password, "\n\r\x00"):
		return usagef("login: a password of more than one line")
	}
	return nil
}

// askCredentials asks on the terminal; the password is not shown.
func (a *app) askCredentials(registry, user string) (string, string, error) {
	in, ok := a.stdin.(*os.File)
	if !ok || !session.IsTerminal(in) {
		return "", "", usagef("login: standard input is no terminal; pipe the password in with --username USER --password-stdin")
	}
	if user == "" {
		fmt.Fprintf(a.stderr, "User of %s: ", registry)
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if user = strings.TrimSpace(line); user == "" {
			if err != nil && !errors.Is(err, io.EOF) {
				return "", "", fmt.Errorf("reading the user: %w", err)
			}
			return "", "", usagef("login: no user")
		}
	}
	password, err := session.ReadHidden(in, func() { fmt.Fprintf(a.stderr, "Password of %s: ", terminal.Clean(user)) }, maxPassword)
	fmt.Fprintln(a.stderr)
	switch {
	case errors.Is(err, session.ErrInterrupted):
		return "", "", statusError(128 + int(unix.SIGINT))
	case err != nil:
		return "", "", fmt.Errorf("reading the password: %w", err)
	}
	return user, password, checkPassword(password)
}

// notLoggedIn says what there is instead.
func notLoggedIn(key, path string) error {
	known, err := image.Kept(path)
	if err != nil || len(known) == 0 {
		return fmt.Errorf("%s: not logged in: %s has no credentials", key, path)
	}
	for i := range known {
		known[i] = terminal.Clean(known[i])
	}
	return fmt.Errorf("%s: not logged in: %s has credentials of %s", key, path, strings.Join(known, ", "))
}

// registryHosts are those that somebody may want to log in to.
func (a *app) registryHosts() []string {
	list := []string{reference.DefaultHost}
	for _, name := range a.imageNames() {
		if ref, err := reference.Parse(name); err == nil && !slices.Contains(list, ref.Host) && ref.Host != "localhost" {
			list = append(list, ref.Host)
		}
	}
	return list
}

func (a *app) logout() *cobra.Command {
	authFile, registries, all := "", "", false
	cmd := &cobra.Command{
		Use:   "logout [OPTION…] REGISTRY|--all",
		Short: "forget the credentials for a registry",
		Long: `Take the credentials for a registry, or all of them, out of the file that unitc login
has written. What other programs keep stays, and is named.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return exactly(0, "no registry beside --all")(cmd, args)
			}
			return exactly(1, "a registry, or --all")(cmd, args)
		},
		ValidArgsFunction: a.completer(func() []string {
			path, _ := image.LoginFile()
			keys, _ := image.Kept(path)
			return keys
		}),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.noRootForLogin("logout"); err != nil {
				return err
			}
			path := authFile
			if path == "" {
				path, _ = image.LoginFile()
			}
			ctx, stop := untilInterrupted(context.Background())
			defer stop()
			if all {
				keys, err := image.LogoutAll(ctx, path)
				for _, key := range keys {
					if err == nil {
						fmt.Fprintf(a.stdout, "%s: logged out\n", terminal.Clean(key))
					}
				}
				return err
			}
			account, err := image.ParseAccount(args[0], registries)
			if err != nil {
				return usagef("logout: %w", err)
			}
			had, err := account.Logout(ctx, path)
			if err != nil {
				return err
			}
			from := ""
			if authFile == "" {
				if from, err = account.From(ctx); err != nil {
					return err
				}
			}
			switch {
			case !had && from != "" && from != path:
				return fmt.Errorf("%s: %s has no credentials for it; those of %s are shown: log out with the program that wrote it, as by `podman logout` or `docker logout`", account.Key, path, from)
			case !had:
				return notLoggedIn(account.Key, path)
			case from != "":
				fmt.Fprintf(a.stderr, "pulls from %s still show credentials, those of %s\n", account.Key, from)
			}
			fmt.Fprintf(a.stdout, "%s: logged out\n", account.Key)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "forget all credentials of the file")
	f.StringVar(&authFile, "authfile", "", "forget those in `FILE`")
	f.StringVar(&registries, "registries-conf", "", "read `FILE` instead of registries.conf")
	return cmd
}
