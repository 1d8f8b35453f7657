// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notifier speaks sd_notify(3) to the socket that systemd passed.
type notifier struct {
	fd   int
	addr *unix.SockaddrUnix
}

// openNotifier takes NOTIFY_SOCKET out of the environment: the payload must
// not inherit it (V-3). Outside systemd there is none, and nothing is sent.
func openNotifier() (*notifier, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	if path == "" {
		return &notifier{fd: -1}, nil
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for NOTIFY_SOCKET: %w", err)
	}
	return &notifier{fd, &unix.SockaddrUnix{Name: path}}, nil
}

// environ is what openNotifier took out of the environment.
func (n *notifier) environ() []string {
	if n.fd < 0 {
		return nil
	}
	return []string{"NOTIFY_SOCKET=" + strings.Replace(n.addr.Name, "\x00", "@", 1)}
}

// connect ties the socket to systemd's: who gets it need not know the name.
func (n *notifier) connect() error {
	if n.fd < 0 {
		return nil
	}
	if err := unix.Connect(n.fd, n.addr); err != nil {
		return fmt.Errorf("connecting to NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// send passes one message of NAME=VALUE lines.
func (n *notifier) send(lines ...string) error {
	if n.fd < 0 {
		return nil
	}
	msg := strings.Join(lines, "\n")
	if err := retry(func() error { return unix.Sendto(n.fd, []byte(msg), unix.MSG_NOSIGNAL, n.addr) }); err != nil {
		return fmt.Errorf("notifying systemd of %s: %w", lines[0], err)
	}
	return nil
}

// barrier waits until systemd has read everything sent before: it closes the
// descriptor that comes with BARRIER=1. A message of a process that is gone by
// then would be dropped (S-9).
func (n *notifier) barrier() error {
	read, err := n.openBarrier()
	if err != nil {
		return err
	}
	return awaitBarrier(read)
}

// openBarrier asks for what awaitBarrier waits for; nil where nobody listens.
func (n *notifier) openBarrier() (read *os.File, err error) {
	if n.fd < 0 {
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe for BARRIER=1: %w", err)
	}
	rights := unix.UnixRights(int(w.Fd()))
	err = retry(func() error { return unix.Sendmsg(n.fd, []byte("BARRIER=1"), rights, n.addr, unix.MSG_NOSIGNAL) })
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("notifying systemd of BARRIER=1: %w", err)
	}
	return r, nil
}

func awaitBarrier(read *os.File) error {
	if read == nil {
		return nil
	}
	defer read.Close()
	fds := []unix.PollFd{{Fd: int32(read.Fd())}}
	return retry(func() error { _, err := unix.Poll(fds, 5000); return err })
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// status is one line for systemctl status.
func status(text string) string {
	return "STATUS=" + strings.ReplaceAll(strings.TrimSpace(text), "\n", " | ")
}
