// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is the width up to which a line of a file is shown.
const maxShown = 120

// Colors of a terminal (ECMA-48).
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	green  = "\x1b[1;32m"
	plain  = "\x1b[0m"
)

// writeText prints a line a problem and, with the source at hand, the line of
// the file and a caret below what is wrong.
func (l List) writeText(w io.Writer, o Options) error {
	lines := map[string][][]byte{}
	for _, p := range l {
		if _, err := io.WriteString(w, p.line(o.Color)+"\n"); err != nil {
			return err
		}
		if o.Source == nil || p.Line <= 0 {
			continue
		}
		if _, known := lines[p.File]; !known {
			lines[p.File] = bytes.Split(o.Source(p.File), []byte{'\n'})
		}
		if err := p.writeCaret(w, lines[p.File], o.Color); err != nil {
			return err
		}
	}
	return nil
}

// line is String with colors; control characters of the file never reach the
// terminal.
func (p Problem) line(color bool) string {
	if !color {
		return printable(p.String())
	}
	place, rest, _ := strings.Cut(printable(p.String()), ": "+p.Severity.String()+": ")
	return bold + place + ":" + plain + " " + p.color() + p.Severity.String() + ":" + plain + " " + rest
}

func (p Problem) color() string {
	switch p.Severity {
	case Warning:
		return yellow
	case Note:
		return bold
	}
	return red
}

func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) || c == '\t' {
			return c
		}
		return utf8.RuneError
	}, s)
}

// writeCaret shows
//
//	12 | mem_limit: 512
//	   |            ^
func (p Problem) writeCaret(w io.Writer, lines [][]byte, color bool) error {
	if p.Line > len(lines) || len(bytes.TrimSpace(lines[p.Line-1])) == 0 {
		return nil
	}
	text := []rune(printable(strings.TrimRight(string(lines[p.Line-1]), "\r")))
	at := min(max(p.Col-1, 0), len(text))
	cut := ""
	if at > maxShown-20 {
		// A long line is shown around its fault.
		text, at, cut = text[at-40:], 40, "…"
	}
	if len(text) > maxShown {
		text = append(text[:maxShown:maxShown], '…')
	}
	blank := strings.Map(func(c rune) rune {
		if c == '\t' {
			return c // keeps the caret in its column, however wide tabs are
		}
		return ' '
	}, cut+string(text[:at]))
	caret := "^"
	if color {
		caret = green + caret + plain
	}
	_, err := fmt.Fprintf(w, "%5d | %s%s\n      | %s%s\n", p.Line, cut, string(text), blank, caret)
	return err
}
