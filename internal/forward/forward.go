// SPDX-License-Identifier: Apache-2.0

// Package forward takes the connections that wait at sockets of systemd's to a port of
// the network namespace that this process is in. A connection is taken when the port has
// answered, so that those who come while it does not wait for whoever comes behind this
// process. It may do nothing else to the host or the container.
package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idle is how long it stays when nobody is connected.
	idle = 10 * time.Second
	// answerTimeout is how long connections are kept waiting for a port that has never
	// answered this process.
	answerTimeout = 60 * time.Second
	dialTimeout   = time.Second
	// lastWords is how long a client may take to read what a payload has said that has
	// ended: others wait for the end of this process by then.
	lastWords  = 3 * time.Second
	leastPause = 10 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// Options are what a server is told.
type Options struct {
	// Sockets listen, and do not block.
	Sockets []*os.File
	// Target is the port in this network namespace.
	Target uint16
	// Payload is a pidfd of the container's first process: its end is the end here.
	Payload *os.File
	// Stop is a word to take no more connections; those that are there go on.
	Stop <-chan os.Signal
	// Stopping is called when none is taken any more.
	Stopping func()
}

type server struct {
	Options
	begun time.Time

	mu       sync.Mutex
	closing  bool
	answered bool
	failed   error
	flying   map[*net.TCPConn]bool // clients' connections
	used     time.Time
	quit     chan struct{}
	gone     chan struct{} // the payload has ended
	last     atomic.Pointer[netip.Addr]
	flights  sync.WaitGroup
}

// Serve returns when it takes no connections any more and the last one has ended. The
// error is that of a port which has never answered: who waits for it is told by the
// end of the connection.
func Serve(o Options) error {
	s := &server{Options: o, begun: time.Now(), used: time.Now(), flying: map[*net.TCPConn]bool{}, quit: make(chan struct{}), gone: make(chan struct{})}
	var takers sync.WaitGroup
	for _, f := range o.Sockets {
		takers.Go(func() { s.take(f) })
	}
	go s.awaitPayload()
	s.watch()
	for _, f := range o.Sockets {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // it wakes who waits there
	}
	takers.Wait()
	if s.failed != nil {
		for _, f := range o.Sockets {
			refuse(f)
		}
	}
	o.Stopping()
	s.flights.Wait()
	return s.failed
}

// watch returns when no more connections are to be taken.
func (s *server) watch() {
	tick := time.NewTicker(idle / 10)
	defer tick.Stop()
	for {
		select {
		case <-s.Stop:
			s.end(nil)
			return
		case <-s.quit:
			return
		case <-tick.C:
			s.mu.Lock()
			over := len(s.flying) == 0 && time.Since(s.used) > idle
			s.mu.Unlock()
			if over {
				s.end(nil)
				return
			}
		}
	}
}

func (s *server) awaitPayload() {
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.Payload.Fd()), Events: unix.POLLIN}}, -1); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	close(s.gone)
	s.end(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.flying {
		_ = c.SetWriteDeadline(time.Now().Add(lastWords))
	}
}

// end has no more connections taken.
func (s *server) end(failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing, s.failed = true, failed
		close(s.quit)
	}
}

func (s *server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// take is for one socket.
func (s *server) take(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		s.end(err)
		return
	}
	pause := leastPause
	for !s.isClosing() {
		if err := conn.Read(isReadable); err != nil {
			s.end(err) // or it is the deadline of the end
			return
		}
		to, err := s.dial()
		if err != nil {
			if s.refused(err) {
				return
			}
			time.Sleep(pause)
			pause = min(pause*3/2, mostPause)
			continue
		}
		from, err := accept(conn)
		if err != nil {
			// The client has gone, or there are no descriptors left: they come back.
			to.Close()
			time.Sleep(leastPause)
			continue
		}
		pause = leastPause
		s.begin(from)
		go s.carry(from, to)
	}
}

// refused decides what a port that does not answer means: at the beginning the payload is
// not there yet. One that has answered and answers no more has stopped to listen, which a
// restart of the container may be: whoever comes behind this process waits for that.
func (s *server) refused(err error) (over bool) {
	s.mu.Lock()
	s.used = time.Now()
	answered, flying := s.answered, len(s.flying)
	s.mu.Unlock()
	switch {
	case answered && flying == 0:
		s.end(nil)
		return true
	case !answered && time.Since(s.begun) > answerTimeout:
		s.end(fmt.Errorf("port %d does not answer in %v: %w", s.Target, answerTimeout, err))
		return true
	}
	return false
}

func (s *server) begin(from *net.TCPConn) {
	s.flights.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = true
	s.flying[from] = true
}

func (s *server) over(from *net.TCPConn) {
	s.mu.Lock()
	delete(s.flying, from)
	s.used = time.Now()
	s.mu.Unlock()
	s.flights.Done()
}

// carry takes bytes both ways until both sides have said all, or the payload has and is
// no more.
func (s *server) carry(from, to *net.TCPConn) {
	defer s.over(from)
	done := make(chan struct{})
	go func() {
		copyTo(to, from)
		close(done)
	}()
	copyTo(from, to)
	select {
	case <-done:
	case <-s.gone:
	}
	from.Close()
	to.Close()
	<-done
}

// copyTo passes the end of what was said on, and a connection that was reset.
func copyTo(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err == nil && to.CloseWrite() == nil {
		return
	}
	for _, c := range []*net.TCPConn{from, to} {
		_ = c.SetLinger(0)
		c.Close()
	}
}

// dial connects to the port at an address of the container's own that is not its
// loopback's: what listens there alone is not for others, and payloads trust who comes
// from there.
func (s *server) dial() (*net.TCPConn, error) {
	list, err := ownAddresses()
	if err != nil {
		return nil, err
	}
	if last := s.last.Load(); last != nil && slices.Contains(list, *last) {
		list = append([]netip.Addr{*last}, list...)
	}
	err = errors.New("the container has no address")
	for _, a := range list {
		d := net.Dialer{Timeout: dialTimeout}
		var c net.Conn
		if c, err = d.Dial("tcp", netip.AddrPortFrom(a, s.Target).String()); err == nil {
			s.last.Store(&a)
			return c.(*net.TCPConn), nil
		}
	}
	return nil, err
}

// ownAddresses are those of IPv4 first.
func ownAddresses() (list []netip.Addr, err error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, n := range nets {
		ip, ok := n.(*net.IPNet)
		if !ok {
			continue
		}
		a, ok := netip.AddrFromSlice(ip.IP)
		if a = a.Unmap(); !ok || a.IsLoopback() || a.Is6() && a.IsLinkLocalUnicast() {
			continue
		}
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return list, nil
}
