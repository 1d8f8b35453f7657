// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	records, err := Parse([]byte(`{"MESSAGE":"one","__MONOTONIC_TIMESTAMP":"1500000","__REALTIME_TIMESTAMP":"1700000000000000"}
{"MESSAGE":[111,255,110],"N":null,"TWICE":["a","b"]}
`))
	if err != nil || len(records) != 2 {
		t.Fatal(records, err)
	}
	if r := records[0]; r["MESSAGE"] != "one" || r.At() != 1500*time.Millisecond || r.Wall().Unix() != 1_700_000_000 {
		t.Errorf("%v", r)
	}
	if r := records[1]; r["MESSAGE"] != "o\xffn" || r["N"] != "" || r["TWICE"] != "" || r.At() != 0 {
		t.Errorf("%q", r)
	}
	for _, text := range []string{"no JSON", "{", "[]"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is no entry", text)
		}
	}
}

// Who wants the newest alone waits for no more, and has them in the order of time.
func TestRecordsUntil(t *testing.T) {
	was := program
	defer func() { program = was }()
	program = filepath.Join(t.TempDir(), "journalctl")
	answer := func(script string) {
		t.Helper()
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	read := func(until string) (words []string, err error) {
		records, err := Records(t.Context(), Query{Last: 7, Until: func(r Record) bool { asked++; return r["MESSAGE"] == until }})
		for _, r := range records {
			words = append(words, r["MESSAGE"])
		}
		return words, err
	}
	const lines = `case "$*" in *--lines=7*--reverse*) ;; *) exit 2 ;; esac; for n in 3 2 1; do echo "{\"MESSAGE\":\"$n\"}"; done; `
	answer(lines + "exec sleep 1000")
	if words, err := read("1"); err != nil || !slices.Equal(words, []string{"2", "3"}) || asked != 3 {
		t.Errorf("%q, %v, of %d", words, err, asked)
	}
	answer(lines)
	if words, err := read("0"); err != nil || !slices.Equal(words, []string{"1", "2", "3"}) {
		t.Errorf("%q, %v", words, err)
	}
	answer("exit 1")
	if words, err := read("0"); err != nil || len(words) > 0 {
		t.Errorf("where nothing matches: %q, %v", words, err)
	}
	answer("echo no such field >&2; exit 1")
	if _, err := read("0"); err == nil || !strings.Contains(err.Error(), "no such field") {
		t.Error(err)
	}
	answer("echo no JSON; exec sleep 1000")
	if _, err := read("0"); err == nil {
		t.Error("what is no entry is none")
	}
	program += "-not"
	if _, err := read("0"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
