// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/files"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
)

func (a *app) cp() *cobra.Command {
	var o files.Options
	follow := false
	cmd := &cobra.Command{
		Use:   "cp [-a] [-L] NAME:PATH|PATH|- NAME:PATH|PATH|-",
		Short: "copy files into and out of running containers",
		Long: `Copy a file or a directory into a running container, out of it, or from one to
another, as docker cp does: into a directory that is there, else under the name
given; "dir/." means what is in dir; "-" is a tar on standard input or output. What
goes in belongs to the container's root, what comes out to the caller and has no
set-user-ID bit. No link in the container leads out of it.`,
		Example: "  unitc cp web:/etc/nginx/nginx.conf .\n  unitc cp site/. web:/var/www\n  unitc cp db:/var/lib/db - | zstd > db.tar.zst",
		Args:    exactly(2, "a source and a destination"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names, _ := a.completeRunning(cmd, args, word)
			for i := range names {
				names[i] += ":"
			}
			return names, cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := parsePlace(args[0]), parsePlace(args[1])
			switch {
			case from.name == "" && to.name == "":
				return usagef("cp: neither %s nor %s is in a container; write NAME:PATH", args[0], args[1])
			case from.path == "" || to.path == "":
				return usagef("cp: want a path behind the colon")
			}
			o.Warn = func(what string) { fmt.Fprintln(a.stderr, "unitc: "+terminal.Clean(what)) }
			// What is half written is removed when somebody interrupts.
			ctx, stop := untilInterrupted(context.Background())
			defer stop()
			err := a.copyFiles(ctx, cmd, from, to, follow, o)
			switch {
			case ctx.Err() != nil:
				return statusError(128 + int(unix.SIGINT))
			case errors.Is(err, unix.EROFS):
				err = fmt.Errorf("%w; the container is read-only there: use a volume", err)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&o.Archive, "archive", "a", false, "keep owners, by their ids inside, and set-user-ID bits")
	cmd.Flags().BoolVarP(&follow, "follow-link", "L", false, "copy what the source links to")
	return cmd
}

// place is one argument of cp.
type place struct {
	name string // of a container; "" = the host
	path string
}

// parsePlace reads NAME:PATH. A word that begins with a dot, or has a slash in front of
// the colon, is a path.
func parsePlace(word string) place {
	name, path, ok := strings.Cut(word, ":")
	if !ok || name == "" || name[0] == '.' || strings.Contains(name, "/") {
		return place{path: word}
	}
	return place{name, path}
}

func (p place) isStream() bool { return p.name == "" && p.path == "-" }

// side opens the file system that a place is in.
func (a *app) side(cmd *cobra.Command, p place) (*files.Side, error) {
	if p.name == "" {
		return files.Host()
	}
	name, pid := "", 0
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		name, pid, err = a.running(ctx, bus, p.name)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Its ids are those of its user namespace.
	if p, err := a.host.Plan(name); err == nil {
		if err := entered(pid, p.Spec.Linux.Namespaces); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := a.enter(pid); err != nil {
		return nil, err
	}
	return files.Container(name, pid)
}

// pathOf is absolute, and keeps what the end of a path means.
func (p place) pathOf(wd string) string {
	if p.name == "" && !strings.HasPrefix(p.path, "/") {
		return wd + "/" + p.path
	}
	return p.path
}

func (a *app) copyFiles(ctx context.Context, cmd *cobra.Command, from, to place, follow bool, o files.Options) error {
	wd, err := unix.Getwd()
	if err != nil {
		return fmt.Errorf("getting the working directory: %w", err)
	}
	var src *files.Source
	if !from.isStream() {
		side, err := a.side(cmd, from)
		if err != nil {
			return err
		}
		defer side.Close()
		if src, err = side.Source(from.pathOf(wd), follow); err != nil {
			return err
		}
		defer src.Close()
	}
	if to.isStream() {
		return files.Pack(ctx, a.stdout, src, src.Name(), o)
	}
	side, err := a.side(cmd, to)
	if err != nil {
		return err
	}
	defer side.Close()
	dst, err := side.Destination(to.pathOf(wd), src)
	if err != nil {
		return err
	}
	defer dst.Close()
	if src == nil {
		return files.Unpack(ctx, a.stdin, dst, o)
	}
	return files.Copy(ctx, src, dst, o)
}
