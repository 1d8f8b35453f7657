// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// printJSON prints a value as others' programs read it.
func (a *app) printJSON(v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.stdout.Write(escapeControls(text.Bytes()))
	return err
}

// escapeControls writes the control characters that JSON lets stand, U+007F to U+009F, as
// escapes, which mean the same: labels of an image, say, steer no terminal then.
func escapeControls(text []byte) []byte {
	if !bytes.ContainsFunc(text, isC1) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		if isC1(r) {
			out = fmt.Appendf(out, "\\u%04x", r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

func isC1(r rune) bool { return r >= 0x7f && r < 0xa0 }

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
