// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

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

// barrier waits until systemd has done what was said before. BARRIER=1 (sd_notify(3))
// would tell that too, but PID 1 starts a process each time, to close what comes
// with it: 0.7 ms of CPU.
func (n *notifier) barrier() error { return n.barrierFor(wordPatience) }

func (n *notifier) barrierFor(patience time.Duration) error {
	if err := n.mark(); err != nil {
		return err
	}
	return n.await(patience)
}

const (
	// wordPatience is for words to the operator: clean-up must go on without.
	wordPatience = 5 * time.Second
	// statePatience is for what the unit's state hangs on: PID 1 may be reloading
	// thousands of units, and who waits here holds up nobody else.
	statePatience = time.Minute
)

// mark says what has no meaning (sd_notify(3), X_). systemd takes one message after
// the other, so that it has done all before once it has taken this one.
func (n *notifier) mark() error { return n.send("X_UNITC_MARK=1") }

// await returns when systemd has taken every message, or when the time has passed.
func (n *notifier) await(patience time.Duration) error {
	if n.fd < 0 {
		return nil
	}
	pause := 50 * time.Microsecond
	for begun := time.Now(); time.Since(begun) < patience; pause = min(2*pause, time.Millisecond) {
		// What is still in the queue counts as the sender's (unix(7), SIOCOUTQ).
		if waiting, err := unix.IoctlGetInt(n.fd, unix.SIOCOUTQ); err != nil || waiting == 0 {
			return err
		}
		// Without Go's timers: they need another thread.
		_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(pause)}, nil)
	}
	return nil
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
