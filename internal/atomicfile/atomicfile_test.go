// SPDX-License-Identifier: Apache-2.0

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Both ways have the same outcome: with a file that has no name until it is whole, and
// where the file system cannot do that.
func TestFile(t *testing.T) {
	for name, create := range map[string]func(string, fs.FileMode) (*File, error){"nameless": Create, "named": createNamed} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.yaml")
			put := func(text string, place func(*File) error) error {
				t.Helper()
				f, err := create(path, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteString(text); err != nil {
					t.Fatal(err)
				}
				if list, _ := os.ReadDir(dir); name == "nameless" && len(list) > 1 {
					t.Errorf("a power cut would leave %v", list)
				}
				return place(f)
			}
			is := func(want string) {
				t.Helper()
				data, err := os.ReadFile(path)
				if list, _ := os.ReadDir(dir); err != nil || string(data) != want || len(list) != 1 {
					t.Errorf("there is %q, %v, want %q; in all %v", data, err, want, list)
				}
			}
			if err := put("one", (*File).Add); err != nil {
				t.Fatal(err)
			}
			is("one")
			if err := put("two", (*File).Add); !errors.Is(err, fs.ErrExist) {
				t.Errorf("a second one is %v", err)
			}
			is("one")
			if err := put("three", (*File).Replace); err != nil {
				t.Fatal(err)
			}
			is("three")
			if err := put("four", func(*File) error { return nil }); err != nil {
				t.Fatal(err)
			}
			is("three")
		})
	}
}

func TestWriteAndRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	if err := Write(path, []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 || st.Size() != 4 {
		t.Errorf("%v, %v", st, err)
	}
	for range 2 {
		if err := Remove(path); err != nil {
			t.Error(err)
		}
	}
	var pathErr *fs.PathError
	if err := Write("/nowhere/b", nil, 0o600); !errors.As(err, &pathErr) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there is no directory it says %v", err)
	}
}
