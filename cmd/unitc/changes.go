// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/files"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/store"
)

func (a *app) changes() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "changes [--json] NAME",
		Short: "list what a container has changed in its image's files",
		Long: `List what a running container has changed in the files of its image, as docker diff
does: A is added, C changed, D deleted. What is in volumes and other mounts is not in it. All of it goes with the
container, unless its definition has x-persist: what is to stay belongs into a volume.`,
		Args:              exactly(1, "the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilInterrupted(context.Background())
			defer stop()
			list, err := a.changesOf(ctx, cmd, args[0])
			if ctx.Err() != nil {
				return statusError(128 + int(unix.SIGINT))
			}
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(list)
			}
			for _, c := range list {
				fmt.Fprintln(a.stdout, c.Kind+" "+terminal.Clean(c.Path))
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) changesOf(ctx context.Context, cmd *cobra.Command, word string) ([]store.Change, error) {
	name := ""
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		name, _, err = a.running(ctx, bus, word)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := a.host.Plan(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.withoutRecord(cmd, name)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case p.Root.Kind != plan.RootOverlay:
		return nil, fmt.Errorf("%s has no image whose files it could change: it runs in a directory, or in a view of the host", name)
	case p.Root.Upper == "":
		return []store.Change{}, nil // read_only: true
	}
	list, err := store.Changes(ctx, p.Root.Upper, p.Root.Lowers)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, a.withoutRecord(cmd, name) // it has ended meanwhile
	}
	return withoutMounts(list, p), err
}

// withoutMounts leaves out the places that a start has made for its mounts.
func withoutMounts(list []store.Change, p *plan.Plan) []store.Change {
	kept := []store.Change{}
	for i, c := range list {
		last := i+1 == len(list) || !strings.HasPrefix(list[i+1].Path, c.Path+"/")
		if c.Kind == store.Added && last && isMounted(p, c.Path) {
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

func isMounted(p *plan.Plan, path string) bool {
	for _, m := range p.Spec.Mounts {
		if m.Destination == path {
			return true
		}
	}
	return false
}

func (a *app) export() *cobra.Command {
	out := "-"
	cmd := &cobra.Command{
		Use:   "export [-o FILE] NAME",
		Short: "write a container's root file system as a tar",
		Long: `Write the root file system of a running container as a tar, as docker export does, without
what is in volumes and other mounts. Owners are those that the container sees. It runs meanwhile: unitc pause
makes it stand still. unitc load --rootfs makes an image of such a tar.`,
		Example:           "  unitc export -o web.tar web\n  unitc export web | unitc load --rootfs --name localhost/web -",
		Args:              exactly(1, "the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilInterrupted(context.Background())
			defer stop()
			side, err := a.side(cmd, place{name: args[0], path: "/"})
			if err != nil {
				return err
			}
			defer side.Close()
			src, err := side.Source("/", false)
			if err != nil {
				return err
			}
			defer src.Close()
			o := files.Options{Archive: true, Whole: true, Warn: func(what string) { fmt.Fprintln(a.stderr, "unitc: "+terminal.Clean(what)) }}
			err = a.toOutput(out, func(w io.Writer) error { return files.Pack(ctx, w, src, ".", o) })
			if ctx.Err() != nil {
				return statusError(128 + int(unix.SIGINT))
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "-", "write to `FILE` instead of standard output")
	return cmd
}
