// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// receivers are who gets a terminal and a pidfd. They are connected to before there is
// a process: nothing is to run whose caller cannot have what it asks for. -1 = nobody
// has asked.
type receivers struct{ console, pidfd int }

// findReceivers connects to those of the options.
func (c *call) findReceivers() (receivers, error) {
	r := receivers{-1, -1}
	for _, to := range []struct {
		name, what string
		fd         *int
	}{{"console-socket", "console socket", &r.console}, {"pidfd-socket", "pidfd socket", &r.pidfd}} {
		path := c.get(to.name)
		if path == "" {
			continue
		}
		var err error
		if *to.fd, err = dial(path); err != nil {
			r.close()
			return r, fmt.Errorf("%s: %w", to.what, err)
		}
	}
	return r, nil
}

func (r *receivers) close() {
	for _, fd := range []*int{&r.console, &r.pidfd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

func (r *receivers) sendConsole(terminal *os.File) error {
	if r.console < 0 || terminal == nil {
		return nil
	}
	if err := sendFile(r.console, terminal); err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	return nil
}

func (r *receivers) sendPIDFD(pid int) error {
	if r.pidfd < 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if err := sendFile(r.pidfd, f); err != nil {
		return fmt.Errorf("pidfd socket: %w", err)
	}
	return nil
}

func dial(path string) (int, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := connect(s, path); err != nil {
		unix.Close(s)
		return -1, fmt.Errorf("connecting to %s: %w", path, err)
	}
	return s, nil
}

// sendFile sends a descriptor and its name over a unix socket, as runc's
// console socket does; whoever listens owns it then.
func sendFile(s int, f *os.File) error {
	if err := unix.Sendmsg(s, []byte(f.Name()), unix.UnixRights(int(f.Fd())), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("sending %s: %w", f.Name(), err)
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
