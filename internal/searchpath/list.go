// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"bytes"
	"encoding/binary"
	"io/fs"

	"golang.org/x/sys/unix"
)

// item is a name in a directory and the type bits of what has it.
type item struct {
	name string
	mode fs.FileMode
}

// openDir opens a directory by a path, or by a name in the one that dirFD is.
// O_DIRECTORY: a FIFO in this place must not be waited for. A bare descriptor
// and no os.File, as the first of those sets up Go's poller: a tenth of a
// millisecond for nothing.
func openDir(dirFD int, path string) (int, error) {
	return unix.Openat(dirFD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// listDir gives all names of a directory, in no order.
func listDir(fd int) (items []item, err error) {
	err = eachName(fd, func(name []byte, dtype byte) { items = append(items, item{string(name), typeBits(dtype)}) })
	return items, err
}

// EachName calls f with every name in an open directory, in no order. The bytes
// are overwritten then.
func EachName(fd int, f func(name []byte)) error {
	return eachName(fd, func(name []byte, _ byte) { f(name) })
}

func eachName(fd int, f func(name []byte, dtype byte)) error {
	buf := make([]byte, 8<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			// struct linux_dirent64, getdents64(2): inode and offset (8 bytes
			// each), length of the record (2), type (1), the name and its NUL.
			record := rest[:binary.NativeEndian.Uint16(rest[16:])]
			rest = rest[len(record):]
			name, _, _ := bytes.Cut(record[19:], []byte{0})
			if string(name) != "." && string(name) != ".." {
				f(name, record[18])
			}
		}
	}
}

// typeBits: what is neither a regular file nor a link is asked about again
// before it is opened, and so is DT_UNKNOWN.
func typeBits(dtype byte) fs.FileMode {
	switch dtype {
	case unix.DT_REG:
		return 0
	case unix.DT_LNK:
		return fs.ModeSymlink
	case unix.DT_DIR:
		return fs.ModeDir
	}
	return fs.ModeIrregular
}

// ListDirs gives the names of the directories in a directory, the hidden ones aside.
func ListDirs(path string) (map[string]bool, error) {
	fd, err := openDir(unix.AT_FDCWD, path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	names := map[string]bool{}
	if err := eachName(fd, func(name []byte, dtype byte) {
		if typeBits(dtype).IsDir() && name[0] != '.' {
			names[string(name)] = true
		}
	}); err != nil {
		return nil, err
	}
	return names, nil
}
