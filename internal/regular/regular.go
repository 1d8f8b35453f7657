// SPDX-License-Identifier: Apache-2.0

// Package regular reads files that somebody else may have put where they are, and may
// change meanwhile. What is no regular file is not opened: a FIFO keeps who opens it
// waiting, and the open of a device does something already (that of /dev/watchdog has
// the machine reset a minute later). The generator, which reads many, has its own of it
// in internal/searchpath.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Max bounds one file, in bytes.
const Max = 1 << 20

// ErrMasked is the error of a link to /dev/null, as masks of systemd's have it.
var ErrMasked = errors.New("a link to /dev/null")

var errBeingWritten = errors.New("it is being written; try again when that is done")

// Read gives the bytes of a file and its permissions. Errors are *fs.PathError.
func Read(path string) (data []byte, mode fs.FileMode, err error) {
	for range mostTries {
		if data, mode, err = read(path); !errors.Is(err, errBeingWritten) {
			break
		}
		time.Sleep(writePause)
	}
	return data, mode, err
}

// Who writes a file has this time for it.
const (
	mostTries  = 10
	writePause = 2 * time.Millisecond
)

func read(path string) (data []byte, mode fs.FileMode, err error) {
	fail := func(op string, err error) ([]byte, fs.FileMode, error) {
		return nil, 0, &fs.PathError{Op: op, Path: path, Err: err}
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("open", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return fail("stat", err)
	case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3):
		return fail("read", ErrMasked)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fail("read", errors.New("not a regular file"))
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return fail("open", errors.Unwrap(err))
	}
	defer f.Close()
	if data, err = io.ReadAll(io.LimitReader(f, Max+1)); err != nil {
		return fail("read", errors.Unwrap(err))
	}
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err == nil && (now.Size != st.Size || now.Mtim != st.Mtim || int64(len(data)) < now.Size) && len(data) <= Max {
		return fail("read", errBeingWritten) // it is neither what it was nor what it will be
	}
	if len(data) > Max {
		return fail("read", fmt.Errorf("%d bytes, at most %d are read", max(st.Size, int64(len(data))), Max))
	}
	return data, fs.FileMode(st.Mode & 0o777), nil
}
