// SPDX-License-Identifier: Apache-2.0

// Package session joins the operator's terminal or pipes with those of a
// process in a container. The process never gets the operator's own
// descriptors: a payload that had the terminal could read keys and push input
// into it (TIOCSTI), and one that had a file could open it anew for writing.
package session

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is what runs at the other end.
type Process interface {
	// Signal sends a signal; to one that has ended it does nothing.
	Signal(sig unix.Signal) error
	// Wait gives its status, once.
	Wait() (unix.WaitStatus, error)
}

// Streams are this program's own.
type Streams struct {
	In       *os.File // nil = the process has no input
	Out, Err io.Writer
}

// grace is how long a process may go on after its terminal has gone, or after
// somebody has interrupted it again and again.
const grace = 5 * time.Second

// impatience is the number of interrupts after which one is not asked any more.
const impatience = 3

// ErrHangup is a terminal that went away.
var ErrHangup = errors.New("the terminal went away")

// session is one on its way.
type session struct {
	process Process
	signals *Signals
	copies  []*outputCopy
	hangup  func() // closes what tells the process that nobody is there
}

// run waits for the process, passing signals on, and then for its last words.
func (s *session) run() (unix.WaitStatus, error) {
	type end struct {
		status unix.WaitStatus
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		status, err := s.process.Wait()
		ended <- end{status, err}
	}()
	var kill <-chan time.Time
	var gone error
	interrupts := 0
	pass := func(sig os.Signal) {
		number, _ := sig.(syscall.Signal)
		if number == unix.SIGHUP {
			gone = ErrHangup
			s.hangup()
			_ = s.process.Signal(unix.SIGHUP)
			kill = time.After(grace)
			return
		}
		_ = s.process.Signal(number)
		if number == unix.SIGINT || number == unix.SIGTERM {
			if interrupts++; interrupts == impatience {
				kill = time.After(0)
			}
		}
	}
	for _, sig := range s.signals.early {
		pass(sig)
	}
	for {
		select {
		case e := <-ended:
			for _, c := range s.copies {
				c.finish()
			}
			if gone != nil {
				e.err = gone
			}
			return e.status, e.err
		case <-kill:
			_ = s.process.Signal(unix.SIGKILL)
		case sig := <-s.signals.queue:
			pass(sig)
		}
	}
}

// outputCopy carries what a process writes.
type outputCopy struct {
	from *os.File
	to   io.Writer
	done chan struct{}
}

func copyOutput(from *os.File, to io.Writer) *outputCopy {
	c := &outputCopy{from, to, make(chan struct{})}
	go func() {
		defer close(c.done)
		err := carry(to, from)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.EIO) {
			// Nobody reads any more: the process shall know.
			c.from.Close()
		}
	}()
	return c
}

// carry copies by read and write alone: splice(2), which files would choose, is
// not bound by a deadline.
func carry(to io.Writer, from io.Reader) error {
	_, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
	return err
}

// finish takes what is still in the pipe. Its other end may be held by a process
// that goes on in the background, so the end of the file is not waited for.
func (c *outputCopy) finish() {
	_ = c.from.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	defer c.from.Close()
	raw, err := c.from.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	_ = c.from.SetReadDeadline(time.Time{})
	for {
		n := 0
		if err := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) }); err != nil || n <= 0 {
			return
		}
		if _, err := c.to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Pipes joins a process without a terminal. in is the writing end of its
// standard input, nil without one; out and err are the reading ends of its
// output. It closes them.
func Pipes(p Process, signals *Signals, own Streams, in, out, err *os.File) (unix.WaitStatus, error) {
	s := &session{process: p, signals: signals, hangup: func() {}}
	s.copies = []*outputCopy{copyOutput(out, own.Out), copyOutput(err, own.Err)}
	if in != nil {
		go func() {
			_ = carry(in, own.In) // EPIPE: the process reads no more
			in.Close()
		}()
		s.hangup = func() { in.Close() }
	}
	return s.run()
}
