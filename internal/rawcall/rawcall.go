// SPDX-License-Identifier: Apache-2.0

// Package rawcall has system calls of which Go's scheduler is not told. Who makes
// thousands of them one after the other, on files that never make it wait, and
// does nothing beside them, has threads woken for nothing by all others: the
// scheduler gives the processor away when one takes longer than 20 µs. No call
// that may wait may be made so.
package rawcall

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pathRoom is what nearly all names have room in.
const pathRoom = 128

// terminate puts a NUL behind a path, in the room if it is large enough.
func terminate(path string, room *[pathRoom]byte) (*byte, error) {
	if len(path) >= pathRoom || strings.IndexByte(path, 0) >= 0 {
		return unix.BytePtrFromString(path)
	}
	copy(room[:], path)
	return &room[0], nil
}

// Openat is openat(2).
func Openat(dirFD int, path string, flags int, mode uint32) (int, error) {
	var room [pathRoom]byte
	p, err := terminate(path, &room)
	if err != nil {
		return -1, err
	}
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(dirFD), uintptr(unsafe.Pointer(p)), uintptr(flags)|unix.O_LARGEFILE, uintptr(mode), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// Read is read(2).
func Read(fd int, b []byte) (int, error) {
	return transfer(unix.SYS_READ, fd, b)
}

// Write is write(2).
func Write(fd int, b []byte) (int, error) {
	return transfer(unix.SYS_WRITE, fd, b)
}

func transfer(nr uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Close is close(2).
func Close(fd int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// Link gives the file of a descriptor that has no name a name
// (linkat(2), AT_EMPTY_PATH).
func Link(fd, dirFD int, name string) error {
	var room [pathRoom]byte
	p, err := terminate(name, &room)
	if err != nil {
		return err
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_LINKAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)), uintptr(dirFD), uintptr(unsafe.Pointer(p)), unix.AT_EMPTY_PATH, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

var empty byte

// Symlinkat is symlinkat(2).
func Symlinkat(target string, dirFD int, path string) error {
	var targetRoom, room [pathRoom]byte
	t, err := terminate(target, &targetRoom)
	if err != nil {
		return err
	}
	p, err := terminate(path, &room)
	if err != nil {
		return err
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(t)), uintptr(dirFD), uintptr(unsafe.Pointer(p))); errno != 0 {
		return errno
	}
	return nil
}
