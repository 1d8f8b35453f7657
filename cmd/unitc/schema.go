// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/schema"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of definitions, for editors",
		Long: `Print the JSON Schema of definitions. An editor with the yaml-language-server
completes and checks a definition that begins with

  # yaml-language-server: $schema=/PATH/TO/unitc.schema.json`,
		Example: "  unitc schema >unitc.schema.json",
		Args:    exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			data, err := schema.Generate()
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(data)
			return err
		},
	}
}
