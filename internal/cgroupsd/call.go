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
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/waiting"
)

// Call is a conversation with PID 1 of which each part is said as early as it
// can be: PID 1 answers while the caller does other work. What it cannot do for
// want of a turn or of an answer, StartScope does as if there had been no Call;
// nil is one that never began.
//
// Where a bus daemon runs it passes on what is said: a connection to PID 1's
// private socket costs PID 1 some 3 ms of CPU, in which it makes and frees the
// tables of all its objects for it (bus_on_connection in systemd's
// src/core/dbus.c), half of them before it looks at the call.
type Call struct {
	fd       int
	bus      bool        // by way of the bus daemon
	done     func()      // ends the turn
	request  []byte      // to be sent as soon as it has been welcomed
	scope    *plan.Scope // that was asked for, nil = none yet
	pid      int
	patience time.Duration // of each wait for the other end
	ready    []byte        // read, and not looked at
	accepted bool          // who is there is known to the other end
}

// systemBus is where the bus daemon listens (D-Bus specification, "Well-known
// Message Bus Instances").
const systemBus = "/run/dbus/system_bus_socket"

// Dial connects to systemd and says who is there. It waits for nothing: nil is
// what it gives while another has its turn.
func Dial() *Call {
	if realm.Own() != nil {
		return nil // StartScope asks the user's own
	}
	if c, err := dialBus(); err == nil {
		return c
	}
	done, ok := tryTurn()
	if !ok {
		return nil
	}
	c, err := dialPrivate()
	if err != nil {
		done()
		return nil
	}
	c.done = done
	return c
}

// dialBus needs no turn: the bus daemon passes on what is meant for the caller
// alone.
func dialBus() (*Call, error) {
	return dial(systemBus, busPatience, append([]byte(hello(os.Getuid())), busHello()...))
}

func dialPrivate() (*Call, error) {
	return dial(privateSocket, callTimeout, []byte(hello(os.Getuid())))
}

func dial(path string, patience time.Duration, greeting []byte) (*Call, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &Call{fd: fd, bus: path == systemBus, done: func() {}}
	if err := c.greet(path, patience, greeting); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

const (
	// callTimeout bounds each wait for PID 1, which may be reloading.
	callTimeout = 60 * time.Second
	// busPatience is for a bus daemon that listens and has not begun to answer, as
	// it is when many units start at boot. Then PID 1 is asked itself.
	busPatience = 300 * time.Millisecond
)

func (c *Call) greet(path string, patience time.Duration, greeting []byte) error {
	if err := c.wait(patience); err != nil {
		return err
	}
	if err := unix.Connect(c.fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	if err := heldByPID1(c.fd, path); err != nil {
		return err
	}
	return c.send(greeting)
}

// wait sets how long reading and writing may take. A read that takes long is told.
func (c *Call) wait(patience time.Duration) error {
	c.patience = patience
	for option, limit := range map[int]time.Duration{unix.SO_RCVTIMEO: min(patience, waiting.Long), unix.SO_SNDTIMEO: patience} {
		timeout := unix.NsecToTimeval(limit.Nanoseconds())
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &timeout); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
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
	for begun := time.Now(); len(c.ready) < n; {
		buf := make([]byte, 4096)
		got, _, err := unix.Recvfrom(c.fd, buf, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && !patience:
			return errNotYet
		case errors.Is(err, unix.EAGAIN) && time.Since(begun) < c.patience:
			waiting.Tell()
			continue
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
	c.scope, c.pid = s, pid
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
	if err == nil && c.bus {
		err = c.wait(callTimeout)
	}
	if err == nil {
		err = c.send(c.request)
	}
	if err != nil {
		c.Close() // it is started anew, as by a PID 1 that was executed again
	}
	c.request = nil
}

// welcome reads that the call may come. The bus daemon answers Hello too, or
// hangs up on one connection too many.
func (c *Call) welcome(patience bool) error {
	if !c.accepted {
		if err := c.accept(patience); err != nil {
			return err
		}
		c.accepted = true
	}
	if !c.bus {
		return nil
	}
	answer, err := c.answer(patience)
	if err == nil && answer.kind != messageReply {
		err = errors.New("the bus daemon refuses Hello")
	}
	return err
}

func (c *Call) accept(patience bool) error {
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

// answered is what has come back.
type answered struct {
	kind   byte
	header []byte
	body   []byte
	order  binary.ByteOrder
}

// answer reads up to the next answer; what is told to everybody comes in between.
func (c *Call) answer(patience bool) (answered, error) {
	for {
		if err := c.next(16, patience); err != nil {
			return answered{}, err
		}
		// PID 1 writes in its own byte order.
		var order binary.ByteOrder = binary.LittleEndian
		if c.ready[0] == 'B' {
			order = binary.BigEndian
		}
		kind, body, fields := c.ready[1], order.Uint32(c.ready[4:]), order.Uint32(c.ready[12:])
		if body > 1<<26 || fields > 1<<26 {
			return answered{}, fmt.Errorf("a message of %d and %d bytes", fields, body)
		}
		header := 16 + (int(fields)+7)&^7
		if err := c.next(header+int(body), patience); err != nil {
			return answered{}, err
		}
		a := answered{kind, c.ready[:header], c.ready[header : header+int(body)], order}
		c.ready = c.ready[header+int(body):]
		if kind == messageReply || kind == messageError {
			return a, nil
		}
	}
}

// lost tells whether the answer is the bus daemon's word that PID 1 has left the
// bus with the call unanswered. Whether PID 1 had read it nobody knows.
func (a answered) lost() bool {
	return a.kind == messageError && bytes.Contains(a.header, []byte("\x00org.freedesktop.DBus.Error.NoReply\x00"))
}

// await tells whether the scope has been asked for with success: the process has
// moved into it or is going to. false, with the turn kept, is for another try.
func (c *Call) await(ctx context.Context) (bool, error) {
	defer c.hangUp()
	if c.request != nil {
		c.proceed(true)
	}
	if c.scope == nil {
		return false, nil
	}
	answer, err := c.answer(true)
	switch {
	case err == nil && !answer.lost():
		return answer.kind == messageReply, nil // what an error says the other try will tell
	case errors.Is(err, unix.EAGAIN):
		return false, fmt.Errorf("StartTransientUnit %s: no answer within %v", c.scope.Name, callTimeout)
	case errors.Is(err, unix.ECONNRESET):
		// It was executed again and had not read the call (unix(7): a peer that closes
		// with data left resets).
		return false, nil
	}
	// It was executed again and has read the call.
	return moved(ctx, c.scope, c.pid), nil
}

// reexecPatience is many times what PID 1 needs to go on after it was executed.
const reexecPatience = 5 * time.Second

// hangUp ends the connection, also for those who have a copy of the descriptor.
func (c *Call) hangUp() {
	if c.fd >= 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
		unix.Close(c.fd)
		c.fd, c.scope, c.request = -1, nil, nil
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
	if c.fd >= 0 && c.scope == nil {
		if err := c.Ask(s, pid); err != nil {
			return err
		}
	}
	if c.fd < 0 {
		return startPrivate(ctx, s, pid)
	}
	if ok, err := c.await(ctx); ok || err != nil {
		return err
	}
	if c.bus {
		return startPrivate(ctx, s, pid)
	}
	return startScope(ctx, s, pid) // the turn is still ours
}
