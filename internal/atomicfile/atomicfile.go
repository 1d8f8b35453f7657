// SPDX-License-Identifier: Apache-2.0

// Package atomicfile puts files in their places as a whole: readers find the old one
// or the new, also after a power cut or on a full disk, and when it is done no power
// cut undoes it. The store has its own way (store.writeFile), in which a collector
// takes away what a cut has left.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// File is one that is being written beside its place.
type File struct {
	*os.File
	path string
	temp string // "" while it has no name
}

// Create begins a file for path, with a mode of which the umask takes its part. It has
// no name where the file system can do without (O_TMPFILE), so that nothing is left of
// it whenever the power is cut.
func Create(path string, mode fs.FileMode) (*File, error) {
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		return createNamed(path, mode) // where an image is made; see link
	}
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, uint32(mode.Perm()))
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(dir, unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, uint32(mode.Perm()))
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL): // as NFS says it, or FUSE
		return createNamed(path, mode)
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	// Errors are about the file that it will be.
	return &File{File: os.NewFile(uintptr(fd), path), path: path}, nil
}

func createNamed(path string, mode fs.FileMode) (*File, error) {
	temp := tempName(path)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path, temp: temp}, nil
}

// tempName is random and not made of a process id, and begins with a dot: no program
// takes it for a definition, a unit or a secret.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-"+strconv.FormatUint(rand.Uint64(), 36))
}

// Replace has the file take the place of what is there.
func (f *File) Replace() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if f.temp == "" {
		temp := tempName(f.path)
		if err := f.link(temp); err != nil {
			return err
		}
		f.temp = temp
	}
	if err := os.Rename(f.temp, f.path); err != nil {
		return err
	}
	f.temp = ""
	return SyncDir(filepath.Dir(f.path))
}

// Add is Replace where nothing may be there: fs.ErrExist.
func (f *File) Add() error {
	if err := f.Sync(); err != nil {
		return err
	}
	var err error
	if f.temp == "" {
		err = f.link(f.path)
	} else {
		err = os.Link(f.temp, f.path)
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// link gives the file its first name. By its descriptor alone (AT_EMPTY_PATH) only
// who may read all files can.
func (f *File) link(path string) error {
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "linkat", Old: self, New: path, Err: err}
	}
	return nil
}

// Close is to be called in the end. It takes away what did not come to its place.
func (f *File) Close() error {
	if f.temp != "" {
		_ = os.Remove(f.temp)
		f.temp = ""
	}
	return f.File.Close()
}

// Write is Create and Replace of some bytes.
func Write(path string, data []byte, mode fs.FileMode) error {
	f, err := Create(path, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil { // whatever the umask is
		return err
	}
	return f.Replace()
}

// SyncDir makes changes to a directory's names last.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Not every file system can (a FUSE of somebody's).
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// Remove takes a file away for good. That there is none is no error.
func Remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
