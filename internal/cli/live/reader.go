// SPDX-License-Identifier: Apache-2.0

package live

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reader reads small files, one after another into the same memory. A listing
// of a thousand containers reads ten thousand of them, and os.ReadFile takes
// six system calls for what three do. The zero value is ready for use.
type Reader struct{ buf, path []byte }

// readerSize is more than what the files of a listing hold.
const readerSize = 8 << 10

// Read gives a file's content until the next is read; the name is below the
// directory that dirFD is, or absolute.
func (r *Reader) Read(dirFD int, name string) ([]byte, error) {
	r.path = append(append(r.path[:0], name...), 0)
	return r.read(dirFD)
}

// readBelow is Read of dir/name.
func (r *Reader) readBelow(dirFD int, dir, name string) ([]byte, error) {
	r.path = append(append(append(append(r.path[:0], dir...), '/'), name...), 0)
	return r.read(dirFD)
}

// open is openat(2) of r.path; unix.Openat takes memory for each name.
func (r *Reader) open(dirFD int) (int, error) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirFD), uintptr(unsafe.Pointer(&r.path[0])), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
			continue
		}
		return -1, errno
	}
}

func (r *Reader) read(dirFD int) ([]byte, error) {
	fd, err := r.open(dirFD)
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
