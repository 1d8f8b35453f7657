// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func render(t *testing.T, s Screen, table *Table) string {
	t.Helper()
	var out bytes.Buffer
	s.Writer = &out
	if err := table.Write(s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sample() *Table {
	t := &Table{Header: []string{"UNIT", "STATE", "IMAGE"}, Shrink: []int{2, 0}}
	t.Add("web", "running", "registry.example.org/a/very/long/name/of/an/image:1.2.3")
	t.Add("a-unit-with-quite-a-long-name", "failed", "-")
	return t
}

func TestTableFitsTheScreen(t *testing.T) {
	for _, width := range []int{40, 60, 80} {
		for line := range strings.Lines(render(t, Screen{Width: width}, sample())) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns on a screen of %d: %s", n, width, line)
			}
		}
	}
}

// However narrow, a row is one line, and its first column is there; what was to
// be dropped is, and only that.
func TestTableOnNarrowScreens(t *testing.T) {
	for width := 1; width < 120; width++ {
		table := sample()
		table.Drop = []int{2, 1}
		out := render(t, Screen{Width: width}, table)
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 1) {
				t.Errorf("%d columns on a screen of %d: %s", n, width, line)
			}
		}
		if width >= 4 && !strings.Contains(out, "UNIT") {
			t.Errorf("on %d columns there is no UNIT:\n%s", width, out)
		}
		if has := strings.Contains(out, "IMAGE"); has != (width >= 8+2+7+2+8) {
			t.Errorf("on %d columns IMAGE is shown: %t\n%s", width, has, out)
		}
		if has := strings.Contains(out, "STATE"); has != (width >= 8+2+7) {
			t.Errorf("on %d columns STATE is shown: %t\n%s", width, has, out)
		}
	}
}

// Whoever pipes the table into another program gets every word whole.
func TestTableIsWholeWithoutAScreen(t *testing.T) {
	if out := render(t, Screen{}, sample()); !strings.Contains(out, "/an/image:1.2.3") || strings.Contains(out, "\x1b") {
		t.Errorf("the table without a terminal is\n%s", out)
	}
}

func TestColourDoesNotMoveColumns(t *testing.T) {
	plain, coloured := sample(), sample()
	coloured.Rows[0][1].Colour = Good
	out := render(t, Screen{Colour: true}, coloured)
	if !strings.Contains(out, "\x1b[32mrunning\x1b[0m") {
		t.Errorf("no colour in %q", out)
	}
	bare := strings.NewReplacer("\x1b[32m", "", "\x1b[2m", "", "\x1b[0m", "").Replace(out)
	if want := render(t, Screen{}, plain); bare != want {
		t.Errorf("without its colours the table is\n%s\nand not\n%s", bare, want)
	}
}

// What an image calls itself must not write to the operator's terminal.
func TestNoControlCharacterReachesTheTerminal(t *testing.T) {
	table := &Table{Header: []string{"NAME"}}
	table.Add("a\x1b]0;owned\x07b\nc\u202ed\xff")
	out := render(t, Screen{}, table)
	for _, bad := range []string{"\x1b", "\x07", "\u202e", "\xff"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q reaches the terminal in %q", bad, out)
		}
	}
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines, want 2: %q", n, out)
	}
}

func TestWrap(t *testing.T) {
	if got := Wrap("one two three", 7); !slices.Equal(got, []string{"one two", "three"}) {
		t.Errorf("%q", got)
	}
	if got := Wrap("one two three", 0); !slices.Equal(got, []string{"one two three"}) {
		t.Errorf("%q", got)
	}
	if got := Wrap("", 10); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
