// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What -o names is replaced as a whole where it is a file, and is written to where it
// is a FIFO or a device, which root would otherwise put a file in the place of.
func TestOutputFiles(t *testing.T) {
	old := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(old) })
	dir := t.TempDir()
	a := &app{stdout: io.Discard}
	put := func(name, text string) error {
		return a.toOutput(filepath.Join(dir, name), func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	}
	has := func(name, text string, mode os.FileMode) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		st, _ := os.Lstat(filepath.Join(dir, name))
		if err != nil || string(data) != text || st.Mode() != mode {
			t.Errorf("%s: %q, %v, mode %v", name, data, err, st.Mode())
		}
	}
	if err := put("new", "one"); err != nil {
		t.Error(err)
	}
	has("new", "one", 0o600) // as the umask says
	if err := os.Chmod(dir+"/new", 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("new", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := put("link", "two"); err != nil {
		t.Error(err)
	}
	has("new", "two", 0o640)
	if target, err := os.Readlink(dir + "/link"); target != "new" {
		t.Errorf("the link is gone: %v", err)
	}
	broken := errors.New("broken")
	if err := a.toOutput(dir+"/new", func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	has("new", "two", 0o640)
	var usage *usageError
	if err := put(".", "x"); !errors.As(err, &usage) {
		t.Errorf("a directory: %v", err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(dir+"/fifo", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := put("fifo", "three"); err != nil {
		t.Error(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "three" {
		t.Errorf("the FIFO got %q, %v", got, err)
	}
	if err := os.Symlink("/dev/null", dir+"/null"); err != nil {
		t.Fatal(err)
	}
	if err := put("null", "four"); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(dir + "/null"); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		t.Errorf("/dev/null is %v, %v", st.Mode(), err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 4 {
		t.Errorf("left: %v", list)
	}
}

// A name may have dots, as that of a unit has; what begins with one is a path.
func TestPlacesOfCopies(t *testing.T) {
	for word, want := range map[string]place{
		"web:/etc": {"web", "/etc"}, "my.app:/x": {"my.app", "/x"}, "web.service:/x:y": {"web.service", "/x:y"}, "worker@1:/": {"worker@1", "/"},
		"./a:b": {path: "./a:b"}, "/a:b": {path: "/a:b"}, "../a:b": {path: "../a:b"}, ".a:b": {path: ".a:b"}, "dir/a:b": {path: "dir/a:b"}, "-": {path: "-"}, ":/x": {path: ":/x"},
	} {
		if got := parsePlace(word); got != want {
			t.Errorf("%s: %+v", word, got)
		}
	}
}
