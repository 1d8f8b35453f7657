// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"fmt"
	"io"
	"slices"
)

// Source gives the text of a file that a problem names, nil if it is not at
// hand; then the problem is shown without its line.
type Source func(file string) []byte

// Formats are the words that Write knows.
var Formats = []string{"text", "json", "sarif", "github"}

// Options say how a list is shown.
type Options struct {
	Format string // one of Formats, "" = text
	// Source, if not nil, adds the line and a caret to each problem (text).
	Source Source
	// Color marks severities for a terminal (text).
	Color bool
	// Version of unitc, for SARIF's tool.
	Version string
}

// Write shows a list in one of the formats.
func (l List) Write(w io.Writer, o Options) error {
	switch o.Format {
	case "", "text":
		return l.writeText(w, o)
	case "json":
		return l.writeJSON(w)
	case "sarif":
		return l.writeSARIF(w, o.Version)
	case "github":
		return l.writeGitHub(w)
	}
	return fmt.Errorf("format %q: not one of %v", o.Format, Formats)
}

// Known tells whether a word is one of Formats.
func Known(format string) bool { return slices.Contains(Formats, format) }
