// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

func (a *app) tag() *cobra.Command {
	return &cobra.Command{
		ValidArgsFunction: a.completer(a.imageNames),
		Use:               "tag IMAGE NAME",
		Short:             "give an image another name",
		Args:              exactly(2, "an image and a name"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			to, err := reference.Parse(args[1])
			if err != nil {
				return usagef("tag: %w", err)
			}
			return s.Tag(args[0], to, a.now())
		}),
	}
}

func (a *app) rmi() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		ValidArgsFunction: a.completer(a.imageNames),
		Use:               "rmi [--force] IMAGE…",
		Short:             "remove images",
		Long: `Remove names of images, and images that have no name left. An image that a unit
runs is not removed; with --force its name is, and the image goes when the unit
has stopped and unitc prune is called.`,
		Args: some("the name of an image"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			var errs []error
			for _, name := range args {
				gone, err := s.RemoveImage(name, force)
				a.printPruned(gone)
				if err != nil {
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "remove all names, also of an image in use")
	return cmd
}

func (a *app) prune() *cobra.Command {
	var p store.Prune
	asJSON := false
	cmd := &cobra.Command{
		Use:   "prune [OPTION…]",
		Short: "remove images that nothing needs",
		Long: `Remove images without a name that no unit runs, and what broken pulls left.
Volumes are never removed by this; see unitc volume rm.`,
		Args: exactly(0, "no argument"),
		RunE: a.withStore(func(s *store.Store, _ []string) error {
			p.Dangling = true
			gone, err := s.Collect(p)
			for _, list := range []*[]string{&gone.Names, &gone.Images, &gone.Layers, &gone.Blobs} {
				*list = append([]string{}, *list...)
			}
			if asJSON {
				if jerr := a.printJSON(gone); err == nil {
					err = jerr
				}
				return err
			}
			a.printPruned(gone)
			return err
		}),
	}
	f := cmd.Flags()
	f.BoolVarP(&p.All, "all", "a", false, "remove named images too, unless a unit runs them")
	f.BoolVar(&p.Blobs, "blobs", false, "remove compressed layers; save, push and repair then need the registry")
	f.BoolVar(&p.Partial, "partial", false, "remove parts of broken downloads whatever their age")
	f.BoolVarP(&p.DryRun, "dry-run", "n", false, "remove nothing, print what would go")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) printPruned(p store.Pruned) {
	for _, n := range p.Names {
		fmt.Fprintln(a.stdout, "name "+n)
	}
	for _, d := range p.Images {
		fmt.Fprintln(a.stdout, "image "+d)
	}
	if p.Bytes > 0 {
		fmt.Fprintf(a.stdout, "%d layers, %d blobs, %s\n", len(p.Layers), len(p.Blobs), image.FormatBytes(p.Bytes))
	}
}

func (a *app) verify() *cobra.Command {
	t := transfer{quiet: true} // it has no progress to show
	repair, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "verify [OPTION…]",
		Short: "check every image in the store",
		Long: `Read the whole store: hash every blob, unpack every layer once more and compare it
file by file. With --repair what differs is replaced, from the stored blobs or
the registry. The exit status is 1 if a fault remains.`,
		Args: exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(t, func(ctx context.Context, c *image.Client) error {
				faults, err := c.Verify(ctx, repair)
				if err != nil {
					return err
				}
				return a.printFaults(faults, asJSON)
			})
		},
	}
	t.files(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the faults as JSON")
	cmd.Flags().BoolVar(&repair, "repair", false, "replace what differs")
	return cmd
}

func (a *app) printFaults(faults []image.Fault, asJSON bool) error {
	bad := false
	for _, f := range faults {
		bad = bad || !f.Repaired
	}
	if asJSON {
		if faults == nil {
			faults = []image.Fault{}
		}
		if err := a.printJSON(faults); err != nil {
			return err
		}
	} else {
		for _, f := range faults {
			name, end := f.Image, ""
			if len(f.Names) > 0 {
				name = f.Names[0]
			}
			if f.Repaired {
				end = " (repaired)"
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", name, f.What, end)
		}
	}
	if bad {
		return statusError(exitFailed)
	}
	return nil
}
