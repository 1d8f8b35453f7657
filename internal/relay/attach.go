// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

const (
	// maxClients bounds those who join at once.
	maxClients = 16
	// clientPatience is how long the payload's output waits for one who does not
	// read it; then that one is let go, and not the payload held up.
	clientPatience = 2 * time.Second
)

// client is one `unitc attach`.
type client struct {
	fd   int
	gone bool
}

// audience are those who have joined the payload's streams. The loop takes what
// they send, the log's thread sends them what the payload writes; the socket of
// one who has gone is closed by whoever uses it last.
type audience struct {
	terminal bool
	input    int    // the payload's, non-blocking; -1 = none
	pending  []byte // input that the payload has not taken yet
	message  []byte
	packet   []byte

	mu      sync.Mutex
	clients []*client
	sending bool // the log's thread uses the sockets
}

func newAudience(o *order.Order) *audience {
	a := &audience{terminal: o.Terminal, input: -1}
	switch {
	case !o.Attach:
	case o.Terminal:
		a.input = order.Logs
	default:
		a.input = order.Input
	}
	return a
}

// sources are what the loop waits for. As long as the payload does not take
// what was typed nobody is asked for more.
func (r *relay) audienceSources() []source {
	if !r.o.Attach || r.gone {
		return nil
	}
	a := r.audience
	list := []source{{order.Attach, unix.POLLIN, func(int16) { a.accept() }}}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) > 0 {
		list = append(list, source{a.input, unix.POLLOUT, func(int16) { a.feed() }})
		for _, c := range a.clients {
			list = append(list, source{c.fd, 0, func(int16) { a.leave(c) }}) // POLLHUP
		}
		return list
	}
	for _, c := range a.clients {
		list = append(list, source{c.fd, unix.POLLIN, func(int16) { a.receive(c) }})
	}
	return list
}

func (a *audience) accept() {
	fd, _, err := unix.Accept4(order.Attach, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	word := byte(order.AttachPipe)
	if a.terminal {
		word = order.AttachTerminal
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	full := len(a.clients) >= maxClients
	if full {
		word = order.AttachRefused
	}
	if err := unix.Sendto(fd, []byte{word}, unix.MSG_NOSIGNAL, nil); err != nil || full {
		unix.Close(fd)
		return
	}
	a.clients = append(a.clients, &client{fd: fd})
}

func (a *audience) receive(c *client) {
	if a.message == nil {
		a.message = make([]byte, order.AttachChunk+1)
	}
	if c.gone || len(a.pending) > 0 {
		return // it ended in this very round, or another was quicker
	}
	n, err := unix.Read(c.fd, a.message)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil || n == 0:
		a.leave(c)
	case a.message[0] == order.AttachData:
		a.pending = append(a.pending, a.message[1:n]...)
		a.feed()
	case a.message[0] == order.AttachSize && n == 5 && a.terminal:
		resize(binary.LittleEndian.Uint16(a.message[1:]), binary.LittleEndian.Uint16(a.message[3:]))
	}
}

// resize gives the terminal its size. One that is the same already is given
// another first: who joins wants the program to draw anew.
func resize(rows, columns uint16) {
	if now, err := unix.IoctlGetWinsize(order.Logs, unix.TIOCGWINSZ); err == nil && now.Row == rows && now.Col == columns {
		_ = unix.IoctlSetWinsize(order.Logs, unix.TIOCSWINSZ, &unix.Winsize{Row: rows + 1, Col: columns})
	}
	_ = unix.IoctlSetWinsize(order.Logs, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
}

// feed gives the payload what it takes now. What cannot be given is dropped: the
// payload has closed its input.
func (a *audience) feed() {
	for len(a.pending) > 0 {
		n, err := unix.Write(a.input, a.pending)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			a.pending = a.pending[:0]
		default:
			a.pending = a.pending[:copy(a.pending, a.pending[n:])]
		}
	}
}

func (a *audience) leave(c *client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.gone = true
	if a.sending {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // ends its wait
		return
	}
	a.sweep()
}

// sweep closes the sockets of those who have gone.
func (a *audience) sweep() {
	a.clients = slices.DeleteFunc(a.clients, func(c *client) bool {
		if c.gone {
			unix.Close(c.fd)
		}
		return c.gone
	})
}

// tell sends what the payload has written to all.
func (a *audience) tell(text []byte) {
	a.mu.Lock()
	list := slices.Clone(a.clients)
	a.sending = len(list) > 0
	a.mu.Unlock()
	if len(list) == 0 {
		return
	}
	for part := range slices.Chunk(text, order.AttachChunk) {
		a.packet = append(append(a.packet[:0], order.AttachData), part...)
		for _, c := range list {
			if !a.has(c) {
				continue
			}
			if !deliver(c.fd, a.packet) {
				a.leave(c)
			}
		}
	}
	a.mu.Lock()
	a.sending = false
	a.sweep()
	a.mu.Unlock()
}

func (a *audience) has(c *client) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !c.gone
}

// deliver waits a moment for one who is slow.
func deliver(fd int, packet []byte) bool {
	for end := time.Now().Add(clientPatience); ; {
		err := unix.Sendto(fd, packet, unix.MSG_NOSIGNAL, nil)
		if err == nil {
			return true
		}
		left := time.Until(end)
		if err != unix.EAGAIN && err != unix.EINTR || left <= 0 {
			return false
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left/time.Millisecond)+1)
	}
}
