// SPDX-License-Identifier: Apache-2.0

package resolved

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a file of definitions in the order of names and values.
func written(t *testing.T, members ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	data := AppendHead(nil)
	for i := 0; i < len(members); i += 2 {
		data = AppendMember(data, members[i], []byte(members[i+1]+"\n"))
	}
	place(t, dir, string(AppendTail(data)))
	return dir
}

func place(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A name is found whatever stands around it: names that begin or end alike, and
// its own line as the text of another definition.
func TestReadFindsTheOneOfTheName(t *testing.T) {
	text, _ := json.Marshal("\n,\"db.json\":{\"of\":\"an attacker\"}\n")
	want := []string{
		"web", `{"label":` + string(text) + `}`,
		"a.json", `{"a":1}`,
		`dash\x2dboard`, `{"d":2}`,
		"b-db", `{"bdb":3}`,
		"worker@", `{"w":4}`,
		"db", `{"db":5}`,
		"d", `{}`,
	}
	dir := written(t, want...)
	all, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil || !json.Valid(all) {
		t.Errorf("no JSON (%v): %s", err, all)
	}
	members := Members(all)
	for i := 0; i < len(want); i += 2 {
		data, err := Read(Path(dir, want[i]))
		if err != nil || string(data) != want[i+1]+"\n" {
			t.Errorf("%s: %q, %v", want[i], data, err)
		}
		if string(members[want[i]]) != want[i+1]+"\n" {
			t.Errorf("%s among all: %q", want[i], members[want[i]])
		}
		if beside, err := Read(Beside(Path(dir, "web"), want[i])); err != nil || string(beside) != string(data) {
			t.Errorf("%s beside web: %q, %v", want[i], beside, err)
		}
	}
	if len(members) != len(want)/2 {
		t.Errorf("%d members: %q", len(members), members)
	}
	for _, none := range []string{"we", "b", "version", "worker@1", ""} {
		if data, err := Read(Path(dir, none)); !errors.Is(err, ErrNoMember) {
			t.Errorf("%q: %q, %v", none, data, err)
		}
	}
}

func TestNoFileOfDefinitions(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(Path(dir, "web")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	const line = `,"web.json":{}` + "\n"
	for _, text := range []string{"", "{", head, head + line, tail, `{"version":2` + "\n" + line + tail, head + line + "}", strings.TrimSuffix(head, "\n") + line + tail} {
		place(t, dir, text)
		if data, err := Read(Path(dir, "web")); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoMember) {
			t.Errorf("%q: %q, %v", text, data, err)
		}
		if members := Members([]byte(text)); members != nil {
			t.Errorf("%q: %q", text, members)
		}
	}
	if err := os.Remove(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	// As the generator of former versions made it.
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(Path(dir, "web")); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a directory: %v", err)
	}
}
