// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// sendFile sends a descriptor and its name over a unix socket, as runc's
// console socket does; whoever listens owns it then.
func sendFile(socket string, f *os.File) error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := connect(s, socket); err != nil {
		return fmt.Errorf("connecting to %s: %w", socket, err)
	}
	if err := unix.Sendmsg(s, []byte(f.Name()), unix.UnixRights(int(f.Fd())), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("sending to %s: %w", socket, err)
	}
	return nil
}

// connect reaches sockets whose path is longer than sun_path by their
// directory's descriptor.
func connect(s int, path string) error {
	const longest = 107
	if len(path) > longest {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		path = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	for {
		err := unix.Connect(s, &unix.SockaddrUnix{Name: path})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func sendPIDFD(socket string, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	return sendFile(socket, f)
}
