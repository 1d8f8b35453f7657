// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Container is one that this program has asked systemd to start, and that tells
// by a socket how it fares. It is a Process once it was started.
type Container struct {
	listener *net.UnixListener
	streams  []*os.File // for the payload; nil = its output goes to the journal
	detached bool
	news     chan news
	ended    chan unix.WaitStatus
	closed   chan struct{}
	once     sync.Once

	pidfd int
	// Terminal is the other end of the payload's; nil without one.
	Terminal *os.File
}

type news struct {
	pid      int
	terminal *os.File
	failure  string
}

// Listen waits for the container's helper at path. It gets streams for the
// payload; of one that is detached nothing is taken but the word that it runs.
func Listen(path string, streams []*os.File, detached bool) (*Container, error) {
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	c := &Container{listener: l, streams: streams, detached: detached, news: make(chan news, 4), ended: make(chan unix.WaitStatus, 1), closed: make(chan struct{}), pidfd: -1}
	go c.serve()
	return c, nil
}

// Close ends it all.
func (c *Container) Close() {
	c.once.Do(func() {
		close(c.closed)
		c.listener.Close()
		if c.pidfd >= 0 {
			unix.Close(c.pidfd)
		}
	})
}

func (c *Container) serve() {
	for {
		conn, err := c.listener.AcceptUnix()
		if err != nil {
			return
		}
		go c.hear(conn)
	}
}

// hear takes the packets of one connection: of the helper's, or of clean-up's.
func (c *Container) hear(conn *net.UnixConn) {
	defer conn.Close()
	buf, oob := make([]byte, 16<<10), make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			return
		}
		word, rest, _ := strings.Cut(string(buf[:n]), " ")
		switch word {
		case "start":
			_ = c.give(conn)
		case "started":
			pid, _ := strconv.Atoi(rest)
			c.tell(news{pid: pid, terminal: received(oob[:m])})
		case "failed":
			c.tell(news{failure: rest})
		case "ended":
			c.end(parseEnd(rest))
		}
	}
}

func (c *Container) end(status unix.WaitStatus) {
	select {
	case c.ended <- status:
	default:
	}
}

func (c *Container) tell(n news) {
	select {
	case c.news <- n:
	default:
	}
}

func (c *Container) give(conn *net.UnixConn) error {
	var rights []byte
	if c.streams != nil {
		var fds []int
		for _, f := range c.streams {
			fds = append(fds, int(f.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	word := "streams"
	if c.detached {
		word = "detached"
	}
	_, _, err := conn.WriteMsgUnix([]byte(word), rights, nil)
	return err
}

func received(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	unix.CloseOnExec(fds[0])
	return os.NewFile(uintptr(fds[0]), "terminal")
}

// parseEnd reads $EXIT_CODE and $EXIT_STATUS of systemd.exec(5).
func parseEnd(text string) unix.WaitStatus {
	code, status, _ := strings.Cut(text, " ")
	if code == "exited" {
		n, err := strconv.Atoi(status)
		if err != nil {
			n = 1
		}
		return unix.WaitStatus(n << 8)
	}
	if n := unix.SignalNum("SIG" + status); n != 0 {
		return unix.WaitStatus(n)
	}
	n, err := strconv.Atoi(status)
	if err != nil || n <= 0 {
		n = int(unix.SIGKILL)
	}
	return unix.WaitStatus(n)
}

// ErrFailed is a container that did not start.
type ErrFailed struct{ Why string }

func (e *ErrFailed) Error() string { return e.Why }

// AwaitStart waits until the payload runs. given is told when systemd's job has
// failed before the helper could say why.
func (c *Container) AwaitStart(ctx context.Context, given <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-c.news:
			return c.begin(n)
		case err := <-given:
			if err == nil {
				given = nil // the news is on its way
				continue
			}
			select {
			case n := <-c.news:
				return c.begin(n)
			case <-time.After(time.Second):
				return err
			}
		case status := <-c.ended:
			// It is over, which is all that Wait has to tell; nobody needs the news of
			// its start, should the helper have been killed before it sent them.
			c.end(status)
			select {
			case n := <-c.news:
				return c.begin(n)
			case <-time.After(time.Second):
				return nil
			}
		}
	}
}

func (c *Container) begin(n news) error {
	if n.failure != "" {
		return &ErrFailed{n.failure}
	}
	c.Terminal = n.terminal
	var err error
	if c.pidfd, err = unix.PidfdOpen(n.pid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("pidfd_open %d: %w", n.pid, err)
	}
	return nil
}

// Signal implements Process.
func (c *Container) Signal(sig unix.Signal) error {
	if c.pidfd < 0 {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
}

// silence is how long after the payload's end clean-up may say nothing.
const silence = time.Minute

// Wait implements Process. The end is clean-up's to tell.
func (c *Container) Wait() (unix.WaitStatus, error) {
	select {
	case status := <-c.ended:
		return status, nil
	case <-c.closed:
		return 0, net.ErrClosed
	case <-c.silent():
		return 0, errors.New("the payload has ended, and systemd's clean-up does not tell how")
	}
}

// silent is told a while after the payload has gone.
func (c *Container) silent() <-chan time.Time {
	told := make(chan time.Time, 1)
	go func() {
		for c.pidfd >= 0 {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		told <- <-time.After(silence)
	}()
	return told
}
