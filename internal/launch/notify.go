// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
)

// notifier speaks sd_notify(3) to the socket that systemd passed.
type notifier struct {
	fd   int
	addr *unix.SockaddrUnix
	// tail is the socket that the last mark went by, if marked.
	tail   int
	marked bool
}

// openNotifier takes NOTIFY_SOCKET out of the environment: the payload must
// not inherit it (V-3). Outside systemd there is none, and nothing is sent; nor
// with an error.
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
		return &notifier{fd: -1}, fmt.Errorf("opening a socket for NOTIFY_SOCKET: %w", err)
	}
	return &notifier{fd: fd, addr: &unix.SockaddrUnix{Name: path}}, nil
}

// shareNotifier is openNotifier for who starts a helper that speaks to systemd itself:
// the variable stays.
func shareNotifier() (*notifier, error) {
	path, given := os.LookupEnv("NOTIFY_SOCKET")
	n, err := openNotifier()
	if given {
		os.Setenv("NOTIFY_SOCKET", path)
	}
	return n, err
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
// the other, so that it has done all before once it has taken this one. It goes by a
// socket of its own whose buffer, the least there is (4608 bytes with the kernel's
// part of each message), is full of it, and not writable again before the message was
// taken (unix_writable in the kernel's net/unix/af_unix.c: four times what is on its
// way must fit).
func (n *notifier) mark() error {
	if n.fd < 0 {
		return nil
	}
	if n.marked {
		unix.Close(n.tail)
		n.marked = false
	}
	var err error
	if n.tail, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("opening a socket for NOTIFY_SOCKET: %w", err)
	}
	n.marked = true
	if err := unix.SetsockoptInt(n.tail, unix.SOL_SOCKET, unix.SO_SNDBUF, 0); err != nil {
		return os.NewSyscallError("setsockopt SO_SNDBUF", err)
	}
	text := []byte("X_UNITC_MARK=" + strings.Repeat("1", 1024))
	if err := retry(func() error { return unix.Sendto(n.tail, text, unix.MSG_NOSIGNAL, n.addr) }); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	return nil
}

// await returns when systemd has taken the mark, or when the time has passed. A
// hundred helpers that wait must leave the processor to PID 1: the kernel wakes
// them, and who is woken before it is time looks ever less often.
func (n *notifier) await(patience time.Duration) error {
	if !n.marked {
		return nil
	}
	for begun := time.Now(); time.Since(begun) < patience; {
		left := max(patience-time.Since(begun), time.Millisecond)
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(n.tail), Events: unix.POLLOUT}}, int(left.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		// What is still in the queue counts as the sender's (unix(7), SIOCOUTQ).
		if waiting, err := unix.IoctlGetInt(n.tail, unix.SIOCOUTQ); err != nil || waiting == 0 {
			return err
		}
		// Without Go's timers: they need another thread.
		pause := unix.NsecToTimespec(min(max(50*time.Microsecond, time.Since(begun)/8), 20*time.Millisecond).Nanoseconds())
		_ = unix.Nanosleep(&pause, nil)
	}
	return nil
}

// tell has systemd show a line as the unit's status, and waits until it has read it: this
// process may be gone next (S-9).
func (n *notifier) tell(line string) {
	_ = n.send(status(line))
	_ = n.barrier()
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
	return "STATUS=" + journal.Plain(strings.ReplaceAll(strings.TrimSpace(text), "\n", " | "))
}
