// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/buildinfo"
)

func (a *app) version() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version [--json]",
		Short: "print the version",
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(map[string]string{"version": buildinfo.Version, "helper": buildinfo.HelperPath, "go": runtime.Version()})
			}
			_, err := fmt.Fprintf(a.stdout, "unitc %s\nhelper %s\n", buildinfo.Version, buildinfo.HelperPath)
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
