// SPDX-License-Identifier: Apache-2.0

// Package inroot opens paths that may not lead out of a directory (openat2(2),
// RESOLVE_IN_ROOT and RESOLVE_BENEATH).
package inroot

import "golang.org/x/sys/unix"

// Attempts bounds how often one path is resolved. Where it passes a "..", be it in a
// symbolic link, the kernel gives up with EAGAIN when anything on the host is mounted or
// renamed meanwhile (handle_dots in fs/namei.c), as while many containers start.
const Attempts = 1000

// Open is openat2(2), again where the kernel gives up.
func Open(dirFD int, unsafePath string, how *unix.OpenHow) (fd int, err error) {
	for range Attempts {
		fd, err = unix.Openat2(dirFD, unsafePath, how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}
