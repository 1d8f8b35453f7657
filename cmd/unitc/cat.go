// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
)

func (a *app) cat() *cobra.Command {
	return &cobra.Command{
		Use:   "cat NAME…",
		Short: "print all files of a definition",
		Long: `Print all files that make up a definition, each under its path: the definition,
its drop-ins in the order in which they are merged, what it extends and includes,
and the files of its variables. systemctl cat prints the unit that becomes of them.`,
		Args:              some("the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			first := true
			var incomplete error
			for _, name := range args {
				found, err := catalog.Find(a.root, name)
				if err != nil {
					return err
				}
				for _, layer := range slices.Concat(found.Source.Layers, found.Named, found.Source.Env) {
					if !first {
						fmt.Fprintln(a.stdout)
					}
					first = false
					if err := writeFile(terminal.Of(a.stdout), layer.Path, layer.Data); err != nil {
						return err
					}
				}
				for _, path := range found.Entry.Overridden {
					fmt.Fprintf(a.stderr, "%s is not used: %s overrides it\n", path, found.Entry.Path)
				}
				// A file that could not be read is no reason to hide the others.
				fmt.Fprint(a.stderr, terminal.CleanText(found.Source.Problems.String()))
				if found.Source.Problems.HasErrors() {
					incomplete = statusError(exitFailed)
				}
			}
			return incomplete
		},
	}
}
