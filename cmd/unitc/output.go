// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
)

// printJSON prints a value as others' programs read it.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
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
