// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// systemd is told words at the socket that it has passed (sd_notify(3)).
type systemd struct {
	fd int // -1 = it has passed none
	at unix.Sockaddr
}

func openSystemd() (*systemd, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return &systemd{fd: -1}, nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &systemd{fd, &unix.SockaddrUnix{Name: strings.Replace(path, "@", "\x00", 1)}}, nil
}

// say also hands descriptors over.
func (s *systemd) say(text string, files ...*os.File) error {
	if s.fd < 0 {
		return nil
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(s.fd, []byte(text), rights, s.at, 0); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}

func (s *systemd) Close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
}
