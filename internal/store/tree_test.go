// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// makeDeep makes directories in each other, each with a file beside the next.
func makeDeep(t *testing.T, path string, depth int) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		for _, err := range []error{unix.Mkdirat(at, "next", 0), unix.Mknodat(at, "f", unix.S_IFREG|0o600, 0)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		next, err := unix.Openat(at, "next", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
}

// A container has written directories in each other, more than a process may open
// and far more than a path may have. They are counted and removed, and with them
// what others have left.
func TestDeepTrees(t *testing.T) {
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	few := usual
	few.Cur = min(600, usual.Cur)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &usual)
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "store"))
	if err == nil {
		err = s.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	upper := s.path("containers", "deep.service", "upper")
	makeDeep(t, upper, 1200)
	outside := filepath.Join(dir, "outside")
	makeDeep(t, outside, 1)
	if err := os.Symlink(outside, upper+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usage(); err != nil {
		t.Errorf("counting: %v", err)
	}
	if err := s.RemoveUpper("deep.service"); err != nil {
		t.Errorf("removing what the unit wrote: %.200v", err)
	}
	// What cannot be removed, for whatever reason, is in nobody's way.
	makeDeep(t, s.path("trash", "a", "deep"), 1200)
	makeDeep(t, s.path("trash", "b"), 1)
	if err := s.emptyTrash(); err != nil {
		t.Errorf("emptying the trash: %.200v", err)
	}
	if left, err := readDir(s.path("trash")); err != nil || len(left) > 0 {
		t.Errorf("the trash has %q, %v", left, err)
	}
	if _, err := os.Stat(outside + "/next"); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	// t.TempDir removes the rest, which has to be possible for it.
	if err := removeTree(dir + "/store"); err != nil {
		t.Error(err)
	}
}

// A sweep and a start may remove the same at once.
func TestTreeRemovedByMany(t *testing.T) {
	for range 5 {
		top := filepath.Join(t.TempDir(), "tree")
		for i := range 100 {
			makeDeep(t, filepath.Join(top, strconv.Itoa(i)), 3)
		}
		ends := make(chan error, 4)
		for range cap(ends) {
			go func() { ends <- removeTree(top) }()
		}
		for range cap(ends) {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Lstat(top); !os.IsNotExist(err) {
			t.Errorf("the tree is still there: %v", err)
		}
	}
}
