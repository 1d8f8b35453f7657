// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// Call is a conversation with PID 1 of which each part is said as early as it
// can be: PID 1 answers while the caller does other work. What it cannot do for
// want of a turn or of an answer, StartScope does as if there had been no Call;
// nil is one that never began.
type Call struct {
	fd      int
	done    func() // ends the turn
	request []byte // to be sent as soon as it has been welcomed
	name    string // of the scope that was asked for, "" = none yet
	pid     int
	ready   []byte // read, and not looked at
}

// Dial connects to PID 1 and says who is there. It waits for nothing: nil is
// what it gives while another has its turn.
func Dial() *Call {
	done, ok := tryTurn()
	if !ok {
		return nil
	}
	c, err := dial()
	if err != nil {
		done()
		return nil
	}
	c.done = done
	return c
}

func dial() (*Call, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &Call{fd: fd, done: func() {}}
	if err := c.greet(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// callTimeout bounds each wait for PID 1, which may be reloading.
const callTimeout = 60 * time.Second

func (c *Call) greet() error {
	timeout := unix.NsecToTimeval(callTimeout.Nanoseconds())
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Connect(c.fd, &unix.SockaddrUnix{Name: privateSocket}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := heldByPID1(c.fd); err != nil {
		return err
	}
	return c.send([]byte(hello(os.Getuid())))
}

func (c *Call) send(data []byte) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(c.fd, data, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendmsg", err)
		}
		data = data[max(n, 0):]
	}
	return nil
}

// next reads until at least n bytes are there. Without patience it reads what is
// there already: errNotYet.
func (c *Call) next(n int, patience bool) error {
	flags := 0
	if !patience {
		flags = unix.MSG_DONTWAIT
	}
	for len(c.ready) < n {
		buf := make([]byte, 4096)
		got, _, err := unix.Recvfrom(c.fd, buf, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && !patience:
			return errNotYet
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		case got == 0:
			return errHungUp
		}
		c.ready = append(c.ready, buf[:got]...)
	}
	return nil
}

var (
	errHungUp = errors.New("PID 1 has closed the connection")
	errNotYet = errors.New("PID 1 has not answered yet")
)

// Ask asks for a scope around pid. An error is of the scope's own properties;
// StartScope goes on from all others.
func (c *Call) Ask(s *plan.Scope, pid int) error {
	if c == nil {
		return nil
	}
	props, err := scopeProperties(s, pid)
	if err != nil {
		return err
	}
	if c.request, err = startTransientUnit(s.Name, props); err != nil {
		return err
	}
	c.name, c.pid = s.Name, pid
	c.Continue()
	return nil
}

// Continue says what can be said by now.
func (c *Call) Continue() {
	if c != nil && c.request != nil {
		c.proceed(false)
	}
}

// proceed sends the request. A call that PID 1 read together with BEGIN would stay
// in its buffer (see greeted); that it has read BEGIN its answer tells.
func (c *Call) proceed(patience bool) {
	err := c.welcome(patience)
	if errors.Is(err, errNotYet) {
		return
	}
	if err == nil {
		err = c.send(c.request)
	}
	if err != nil {
		c.Close() // it is started anew, as by a PID 1 that was executed again
	}
	c.request = nil
}

func (c *Call) welcome(patience bool) error {
	end := bytes.IndexByte(c.ready, '\n')
	for ; end < 0; end = bytes.IndexByte(c.ready, '\n') {
		if err := c.next(len(c.ready)+1, patience); err != nil {
			return err
		}
	}
	line := string(c.ready[:end])
	c.ready = c.ready[end+1:]
	if !strings.HasPrefix(line, "OK ") {
		return fmt.Errorf("authenticating: %q", strings.TrimSpace(line))
	}
	return nil
}

// Kinds of messages.
const (
	messageReply = 2
	messageError = 3
)

// answer reads up to the answer to the one call; what PID 1 tells everybody comes
// in between.
func (c *Call) answer() (kind byte, err error) {
	for {
		if err := c.next(16, true); err != nil {
			return 0, err
		}
		// PID 1 writes in its own byte order.
		var order binary.ByteOrder = binary.LittleEndian
		if c.ready[0] == 'B' {
			order = binary.BigEndian
		}
		kind = c.ready[1]
		body, fields := order.Uint32(c.ready[4:]), order.Uint32(c.ready[12:])
		if body > 1<<26 || fields > 1<<26 {
			return 0, fmt.Errorf("a message of %d and %d bytes", fields, body)
		}
		size := 16 + (int(fields)+7)&^7 + int(body)
		if err := c.next(size, true); err != nil {
			return 0, err
		}
		c.ready = c.ready[size:]
		if kind == messageReply || kind == messageError {
			return kind, nil
		}
	}
}

// await tells whether the scope has been asked for with success: the process has
// moved into it or is going to. false, with the turn kept, is for another try.
func (c *Call) await(ctx context.Context) (bool, error) {
	defer c.hangUp()
	if c.request != nil {
		c.proceed(true)
	}
	if c.name == "" {
		return false, nil
	}
	kind, err := c.answer()
	switch {
	case err == nil:
		return kind == messageReply, nil // what an error says the other try will tell
	case errors.Is(err, unix.EAGAIN):
		return false, fmt.Errorf("StartTransientUnit %s: no answer within %v", c.name, callTimeout)
	case errors.Is(err, unix.ECONNRESET):
		// It was executed again and had not read the call (unix(7): a peer that closes
		// with data left resets).
		return false, nil
	}
	// It was executed again and has read the call. Whether it had come to make the
	// scope, the process shows: a second one of the name would be the end of the first.
	ctx, cancel := context.WithTimeout(ctx, reexecPatience)
	defer cancel()
	dir, err := AwaitScope(ctx, c.name, c.pid)
	if err != nil {
		return false, nil
	}
	dir.Close()
	return true, nil
}

// reexecPatience is many times what PID 1 needs to go on after it was executed.
const reexecPatience = 5 * time.Second

// hangUp ends the connection, also for those who have a copy of the descriptor.
func (c *Call) hangUp() {
	if c.fd >= 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
		unix.Close(c.fd)
		c.fd, c.name, c.request = -1, "", nil
	}
}

// Close ends the conversation and the turn.
func (c *Call) Close() {
	if c != nil {
		c.hangUp()
		c.done()
		c.done = func() {}
	}
}

// StartScope is the function of that name, which goes on from what has been said.
func (c *Call) StartScope(ctx context.Context, s *plan.Scope, pid int) error {
	if c == nil {
		return StartScope(ctx, s, pid)
	}
	defer c.Close()
	if c.fd >= 0 && c.name == "" {
		if err := c.Ask(s, pid); err != nil {
			return err
		}
	}
	if c.fd < 0 {
		return StartScope(ctx, s, pid)
	}
	if ok, err := c.await(ctx); ok || err != nil {
		return err
	}
	return startScope(ctx, s, pid)
}
