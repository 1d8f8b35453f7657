// SPDX-License-Identifier: Apache-2.0

package rawcall

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Names of every length are those that were meant, and one with a NUL is refused.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	dirFD, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dirFD)
	for _, length := range []int{1, pathRoom - 2, pathRoom - 1, pathRoom, pathRoom + 1, 255} {
		name := strings.Repeat("n", length)
		fd, err := Openat(dirFD, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(length, err)
		}
		if err := Close(fd); err != nil {
			t.Error(length, err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := Symlinkat("to/"+name, dirFD, name); err != nil {
			t.Error(length, err)
		}
		if target, err := os.Readlink(filepath.Join(dir, name)); err != nil || target != "to/"+name {
			t.Errorf("%d: a link to %q (%v)", length, target, err)
		}
	}
	if fd, err := Openat(dirFD, "a\x00b", unix.O_WRONLY|unix.O_CREAT, 0o600); err == nil {
		t.Errorf("a name with a NUL is opened as descriptor %d", fd)
	}
	if err := Symlinkat("a\x00b", dirFD, "a"); err == nil {
		t.Error("a link to a name with a NUL is made")
	}
}
