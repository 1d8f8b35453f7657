// SPDX-License-Identifier: Apache-2.0

package live

import (
	"io"

	"golang.org/x/sys/unix"
)

// Reader reads small files, one after another into the same memory. A listing
// of a thousand containers reads ten thousand of them, and os.ReadFile takes
// six system calls for what three do. The zero value is ready for use.
type Reader struct{ buf []byte }

// readerSize is more than what the files of a listing hold.
const readerSize = 8 << 10

// Read gives a file's content until the next is read; the name is below the
// directory that dirFD is, or absolute.
func (r *Reader) Read(dirFD int, name string) ([]byte, error) {
	fd, err := unix.Openat(dirFD, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	for err == unix.EINTR {
		fd, err = unix.Openat(dirFD, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if r.buf == nil {
		r.buf = make([]byte, readerSize)
	}
	for n := 0; ; {
		m, err := unix.Read(fd, r.buf[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		// A file of the kernel gives all it has at once, and another one's end is
		// where less comes than was asked for.
		if n += m; m == 0 || n < len(r.buf) {
			return r.buf[:n], nil
		}
		if n > maxSmall {
			return nil, io.ErrShortBuffer
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
}

// maxSmall bounds what is read, in bytes: the largest are resolved definitions.
const maxSmall = 16 << 20

// openDir opens a directory to read files in.
func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
