// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
)

// What containers have written is as deep as they like: a path to its bottom is
// longer than the kernel takes, and a descriptor for each directory on the way
// more than a process may have. (os.RemoveAll and filepath.WalkDir fail there.)

// mostOpen bounds the directories that are open at once.
const mostOpen = 256

// trashedDepths begins the names of what is taken out of deep trees.
const trashedDepths = "deep"

// removeTree removes a file, or a directory with all that is in it. Nobody else
// may use it any more. What is in the way of being deep is renamed into the
// directory that the tree is in, under names of the trash.
func removeTree(path string) error {
	if protection.Off("deep-trees") {
		return os.RemoveAll(path)
	}
	top, err := openDirectory(unix.AT_FDCWD, filepath.Dir(path))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer top.Close()
	r := &remover{top: int(top.Fd()), left: []string{filepath.Base(path)}}
	for len(r.left) > 0 {
		name := r.left[len(r.left)-1]
		r.left = r.left[:len(r.left)-1]
		if err := r.remove(r.top, name, 0); err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
	}
	return nil
}

type remover struct {
	top  int
	left []string // in top
}

// remove takes one entry of a directory away, 0 is the depth of those in top.
func (r *remover) remove(dir int, name string, depth int) error {
	if err := unix.Unlinkat(dir, name, 0); !errors.Is(err, unix.EISDIR) {
		return unlessGone("unlinkat", name, err)
	}
	if depth >= mostOpen {
		// Its own directory is empty without it, and goes.
		moved := tempName(trashedDepths)
		r.left = append(r.left, moved)
		return unlessGone("renameat", name, unix.Renameat(dir, name, r.top, moved))
	}
	f, err := openToRemove(dir, name)
	if err != nil {
		return unlessGone("openat", name, err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, n := range names {
			if err := r.remove(int(f.Fd()), n, depth+1); err != nil {
				return err
			}
		}
		if errors.Is(err, unix.ENOENT) {
			return nil // another one has removed it since it was opened
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %q: %w", name, err)
		}
		if len(names) == 0 {
			break
		}
		// A file system may pass over entries while others go.
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("lseek %q: %w", name, err)
		}
	}
	return unlessGone("unlinkat", name, unix.Unlinkat(dir, name, unix.AT_REMOVEDIR))
}

// unlessGone passes over what another collector was quicker with.
func unlessGone(op, name string, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("%s %q: %w", op, name, err)
}

// openToRemove lets its owner remove what is in a directory, whatever its mode is: who
// is not root may not otherwise, and overlayfs has one without any (work/work).
func openToRemove(at int, name string) (*os.File, error) {
	if os.Geteuid() == 0 {
		return openDirectory(at, name)
	}
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	if st.Mode&0o700 != 0o700 && int(st.Uid) == os.Geteuid() {
		if err := unix.Chmod(self, 0o700); err != nil {
			return nil, err
		}
	}
	return openDirectory(unix.AT_FDCWD, self+"/.")
}

// openDirectory follows no link at the end of the name.
func openDirectory(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// diskBytes counts blocks of what a container may be changing, holes not included
// and links once. What is deeper than mostOpen is not counted.
func diskBytes(path string) (int64, error) {
	c := &counter{links: map[uint64]bool{}}
	err := c.entry(unix.AT_FDCWD, path, 0)
	if err != nil {
		err = fmt.Errorf("counting %s: %w", path, err)
	}
	return c.total, err
}

type counter struct {
	links map[uint64]bool
	total int64
}

func (c *counter) entry(dir int, name string, depth int) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil // it went while we counted
	}
	if err != nil {
		return fmt.Errorf("fstatat %q: %w", name, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFREG && st.Nlink > 1 {
		if c.links[st.Ino] {
			return nil
		}
		c.links[st.Ino] = true
	}
	c.total += st.Blocks * 512
	if kind != unix.S_IFDIR || depth >= mostOpen {
		return nil
	}
	f, err := openDirectory(dir, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // another thing has its name by now
	}
	if err != nil {
		return fmt.Errorf("openat %q: %w", name, err)
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		for _, n := range names {
			if err := c.entry(int(f.Fd()), n, depth+1); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %q: %w", name, err)
		}
	}
}
