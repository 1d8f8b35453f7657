// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var hostile = []string{
	"", " ", "plain", "two words", "tab\there", "line\nbreak", "cr\rhere", `back\slash`, `end\`, `"`, `'`, `it's`,
	"%", "%i", "%%", "$", "$HOME", "${HOME}", "$$", ";", ";;", "#", "-x", "@x", ":x", "+x", "!x", "|x", "[Service]",
	"A=b", "é", "\u2028", "\x1b[31m", "\x7f", "\xff\xfe", "\u202e", "a;b", "{}", "*", "~", "\\x41", `\n`, "ü\x80ü",
}

func TestExecReadsBack(t *testing.T) {
	for _, s := range hostile {
		checkExec(t, "/usr/bin/x"+strings.ReplaceAll(s, "\x00", ""), []string{s, "next"})
	}
}

func checkExec(t *testing.T, path string, args []string) {
	t.Helper()
	var w Writer
	w.Section("Service")
	w.Set("ExecStart", Exec(path, args...))
	data, err := w.Bytes()
	if err != nil {
		t.Fatalf("writing %q: %v", args, err)
	}
	list, err := parseFile(string(data))
	if err != nil || len(list) != 1 {
		t.Fatalf("%q gave %d assignments (%v):\n%s", args, len(list), err, data)
	}
	gotPath, gotArgs, err := parseExec(list[0].value)
	if err != nil || gotPath != path || !slices.Equal(gotArgs, args) {
		t.Errorf("%q %q reads back as %q %q (%v)", path, args, gotPath, gotArgs, err)
	}
}

func checkWord(t *testing.T, s string) {
	t.Helper()
	var w Writer
	w.Section("Service")
	w.Set("Environment", Word("A="+s)+" "+Word("B=next"))
	data, err := w.Bytes()
	if err != nil {
		t.Fatalf("writing %q: %v", s, err)
	}
	list, err := parseFile(string(data))
	if err != nil || len(list) != 1 {
		t.Fatalf("%q gave %d assignments (%v):\n%s", s, len(list), err, data)
	}
	words, err := splitWords(list[0].value)
	if err != nil || len(words) != 2 {
		t.Fatalf("%q reads back as %q (%v)", s, words, err)
	}
	got, err := expandSpecifiers(words[0])
	if err != nil || got != "A="+s {
		t.Errorf("%q reads back as %q (%v)", s, got, err)
	}
}

func TestWordReadsBack(t *testing.T) {
	for _, s := range hostile {
		checkWord(t, s)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"Description", "a\nExecStartPost=/bin/touch /x"},
		{"Description", "a\rb"},
		{"Description", "a\x00b"},
		{"Description", "a\x1b[0m"},
		{"Description", `ends in \`},
		{"Description", `ends in \\\`},
		{"Description", "\xff"},
		{"Description", strings.Repeat("x", 1<<20)},
		{"", "x"},
		{"A=b\nC", "x"},
		{"[Unit]", "x"},
		{"#x", "x"},
		{"X-", "x"},
		{"X-a b", "x"},
		{"Some-Thing", "x"},
	} {
		var w Writer
		w.Section("Unit")
		w.Set(c.name, c.value)
		data, err := w.Bytes()
		var valueErr *ValueError
		if !errors.As(err, &valueErr) {
			t.Errorf("%q=%.60q was accepted (%v)", c.name, c.value, err)
		}
		if string(data) != "[Unit]\n" {
			t.Errorf("%q=%.60q left %.60q", c.name, c.value, data)
		}
	}
}

func TestSetTakesEscapedBackslash(t *testing.T) {
	var w Writer
	w.Section("Unit")
	w.Set("Description", `ends in \\`)
	w.Set("X-Owner_2", "me")
	if _, err := w.Bytes(); err != nil {
		t.Error(err)
	}
}

func TestCommentIsOneLine(t *testing.T) {
	var w Writer
	w.Comment("from a\nb\xff\u2028[Unit]")
	data, err := w.Bytes()
	if want := "# from a\\nb\\xff?[Unit]\n"; err != nil || string(data) != want {
		t.Errorf("got %q, want %q (%v)", data, want, err)
	}
}

func TestSectionsInOrder(t *testing.T) {
	var w Writer
	w.Comment("c")
	w.Section("Unit")
	w.Set("B", "1")
	w.Set("A", "2")
	w.Section("Service")
	w.Set("A", "3")
	data, err := w.Bytes()
	if want := "# c\n[Unit]\nB=1\nA=2\n\n[Service]\nA=3\n"; err != nil || string(data) != want {
		t.Errorf("got %q, want %q (%v)", data, want, err)
	}
}
