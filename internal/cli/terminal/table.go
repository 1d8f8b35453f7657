// SPDX-License-Identifier: Apache-2.0

// Package terminal writes tables that fit the terminal and colours only where
// there is one. What it prints may come from images and journals, so no
// control character of theirs reaches the terminal.
package terminal

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Screen is where text goes.
type Screen struct {
	io.Writer
	Width  int // columns; 0 = no terminal, nothing is cut
	Colour bool
}

// Of looks at a stream. NO_COLOR and TERM=dumb are heeded (no-color.org).
func Of(w io.Writer) Screen {
	s := Screen{Writer: w}
	f, ok := w.(*os.File)
	if !ok {
		return s
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return s
	}
	s.Width = int(size.Col)
	s.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// Colours of cells, SGR codes (ECMA-48).
type Colour string

const (
	Plain  Colour = ""
	Good   Colour = "32"
	Warn   Colour = "33"
	Bad    Colour = "31"
	Faint  Colour = "2"
	Strong Colour = "1"
)

// Paint wraps text where the screen has colours.
func (s Screen) Paint(c Colour, text string) string {
	if !s.Colour || c == Plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Cell is one entry of a table.
type Cell struct {
	Text   string
	Colour Colour
}

// Table is rows under a header.
type Table struct {
	Header []string
	// Shrink lists the columns that may be cut, the first of them first.
	Shrink []int
	// Drop lists the columns that are left out where all the cutting does not
	// help, the first of them first.
	Drop []int
	Rows [][]Cell
}

// Add appends a row of plain cells.
func (t *Table) Add(cells ...string) {
	row := make([]Cell, len(cells))
	for i, c := range cells {
		row[i].Text = c
	}
	t.Rows = append(t.Rows, row)
}

const gap = 2

// minColumn is the width below which a column is not cut.
const minColumn = 8

// Write prints the table; a header without rows is printed too, so that an
// empty answer is one.
func (t *Table) Write(s Screen) error {
	head := make([]Cell, len(t.Header))
	for i, h := range t.Header {
		head[i] = Cell{h, Faint}
	}
	rows := append([][]Cell{head}, t.Rows...)
	widths := make([]int, len(t.Header))
	for _, row := range rows {
		for i := range row {
			row[i].Text = Clean(row[i].Text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].Text))
		}
	}
	shown := t.fit(widths, s.Width)
	var b strings.Builder
	for _, row := range rows {
		for at, i := range shown {
			text := cut(row[i].Text, widths[i])
			b.WriteString(s.Paint(row[i].Colour, text))
			if at < len(shown)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(s, b.String())
	return err
}

// fit takes from the columns that may be cut until the rows fit the screen, and
// gives those that are shown. A line that is longer than the screen would make
// two, and no table.
func (t *Table) fit(widths []int, screen int) (shown []int) {
	for i := range widths {
		shown = append(shown, i)
	}
	if screen <= 0 {
		return shown
	}
	excess := func() int {
		total := gap * (len(shown) - 1)
		for _, i := range shown {
			total += widths[i]
		}
		return total - screen
	}
	whole := slices.Clone(widths)
	shrink := func() {
		copy(widths, whole)
		for _, i := range t.Shrink {
			if give := min(excess(), widths[i]-minColumn); give > 0 && slices.Contains(shown, i) {
				widths[i] -= give
			}
		}
	}
	shrink()
	for _, drop := range t.Drop {
		if excess() <= 0 {
			return shown
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == drop })
		shrink()
	}
	for left := excess(); left > 0; left-- {
		widest := shown[0]
		for _, i := range shown {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		widths[widest] = max(widths[widest]-1, 1)
	}
	return shown
}

func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + "…"
}

// Clean replaces what could move the cursor or change the terminal.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}

// CleanText is Clean for a text of several lines.
func CleanText(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		for j, part := range strings.Split(line, "\t") {
			if j == 0 {
				lines[i] = Clean(part)
				continue
			}
			lines[i] += "\t" + Clean(part)
		}
	}
	return strings.Join(lines, "\n")
}

// Wrap breaks text into lines of at most width columns, at spaces.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case width > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Rows is the height of the terminal, 0 without one.
func Rows(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
