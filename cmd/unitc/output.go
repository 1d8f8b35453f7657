// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"
)

// printJSON prints a value as others' programs read it.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// jsonFlag adds the option that every listing has.
func jsonFlag(cmd *cobra.Command, into *bool) {
	cmd.Flags().BoolVar(into, "json", false, "print JSON")
}

// isDirectory tells a wrong path from an empty directory.
func isDirectory(what, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return usagef("%s: %w", what, err)
	}
	if !st.IsDir() {
		return usagef("%s: %s is not a directory", what, path)
	}
	return nil
}
