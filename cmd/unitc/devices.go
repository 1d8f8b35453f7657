// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cdi/registry"
)

// devices answers the launch helper too, which does not link YAML.
func (a *app) devices() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "devices [--json] [NAME…]",
		Short: "list devices of the Container Device Interface",
		Long: `List the devices that vendors describe in /etc/cdi and /var/run/cdi by the names that
` + "`devices:`" + ` in a definition takes, or print as JSON what the named ones do to a container:
variables, device nodes, mounts and hooks.`,
		Example: "  unitc devices\n  unitc devices nvidia.com/gpu=all",
		RunE: func(_ *cobra.Command, args []string) error {
			dirs := make([]string, len(registry.Dirs))
			for i, dir := range registry.Dirs {
				dirs[i] = a.root + dir
			}
			if len(args) == 0 {
				return a.listDevices(dirs, asJSON)
			}
			edits, err := registry.Resolve(dirs, args)
			if err != nil {
				return err
			}
			out := json.NewEncoder(a.stdout)
			out.SetIndent("", "  ")
			return out.Encode(edits)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) listDevices(dirs []string, asJSON bool) error {
	names, err := registry.Names(dirs)
	if asJSON {
		return errors.Join(a.printJSON(append([]string{}, names...)), err)
	}
	for _, name := range names {
		fmt.Fprintln(a.stdout, name)
	}
	return err
}
