// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Idle is how long the program waits for a question before it ends.
const Idle = 30 * time.Second

// most are datagrams at a time, far more than may wait for other servers: what
// comes beyond waits in the socket's queue.
const most = 1024

// answerer is what is served: Resolver or Host.
type answerer interface {
	Answer(message []byte, client netip.Addr, tcp bool) []byte
	group(client netip.Addr) string
}

// server serves the sockets that systemd has passed.
type server struct {
	r       answerer
	slots   chan struct{} // of datagrams
	clients *crowd        // of connections
	began   time.Time
	last    atomic.Int64 // nanoseconds from then to the last question
	readers sync.WaitGroup
	work    sync.WaitGroup
	// hear bounds the reading of each socket, and nothing else: answers to what
	// was read are yet to be written.
	hear []func(time.Time) error

	mu sync.Mutex
	// talking are the connections, whose clients may ask on and on.
	talking map[*net.TCPConn]bool
	// until bounds the reading of them all once the end has come; zero = it has not.
	until time.Time
}

// grace is for questions that are on their way in a connection at the end.
const grace = 200 * time.Millisecond

// Serve answers on sockets until nobody has asked for as long as idle, or until
// stop is closed.
func Serve(r answerer, sockets []*os.File, idle time.Duration, stop <-chan os.Signal) error {
	s := newServer(r)
	for _, f := range sockets {
		if err := s.add(f); err != nil {
			return err
		}
	}
	if len(s.hear) == 0 {
		return errors.New("no sockets were passed: start the .socket, not the .service")
	}
	s.run(idle, stop)
	return nil
}

func newServer(r answerer) *server {
	return &server{r: r, began: time.Now(), slots: make(chan struct{}, most), clients: newCrowd(256, 16), talking: map[*net.TCPConn]bool{}}
}

// asked says that somebody asks.
func (s *server) asked() { s.last.Store(int64(time.Since(s.began))) }

func (s *server) run(idle time.Duration, stop <-chan os.Signal) {
	for rest := idle; rest > 0; rest = idle - (time.Since(s.began) - time.Duration(s.last.Load())) {
		select {
		case <-time.After(rest):
			continue
		case <-stop:
		}
		break
	}
	// What was read is answered; what was not stays in the sockets, which
	// systemd keeps, and starts this program again.
	for _, hear := range s.hear {
		_ = hear(time.Now())
	}
	s.readers.Wait()
	s.hangUp()
	s.work.Wait()
}

// hangUp ends connections: whoever is connected may finish one question, and
// nobody keeps the others waiting for this program's end.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(grace)
	for c := range s.talking {
		_ = c.SetReadDeadline(s.until)
	}
}

// listen bounds the wait for the next question of a connection.
func (s *server) listen(c *net.TCPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.talking[c] = true
	by := s.until
	if by.IsZero() {
		by = time.Now().Add(patience)
	}
	_ = c.SetReadDeadline(by)
}

func (s *server) close(c *net.TCPConn) {
	s.mu.Lock()
	delete(s.talking, c)
	s.mu.Unlock()
	c.Close()
}

func (s *server) add(f *os.File) error {
	defer f.Close()
	if c, err := net.FilePacketConn(f); err == nil {
		udp, ok := c.(*net.UDPConn)
		if !ok {
			return fmt.Errorf("socket %s is not of UDP", f.Name())
		}
		raw, err := udp.SyscallConn()
		if err != nil {
			return fmt.Errorf("socket %s: %w", f.Name(), err)
		}
		s.hear = append(s.hear, udp.SetReadDeadline)
		s.readers.Go(func() { s.datagrams(udp, raw) })
		return nil
	}
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("socket %s: %w", f.Name(), err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("socket %s is not of TCP", f.Name())
	}
	s.hear = append(s.hear, tcp.SetDeadline)
	s.readers.Go(func() { s.connections(tcp) })
	return nil
}

func (s *server) datagrams(c *net.UDPConn, raw syscall.RawConn) {
	b := make([]byte, 65535)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no memory, say: it comes back
			continue
		}
		message := bytes.Clone(b[:n])
		s.slots <- struct{}{}
		s.asked()
		s.work.Go(func() {
			defer func() { <-s.slots }()
			if answer := s.r.Answer(message, from.Addr(), false); answer != nil {
				say(raw, answer, from)
			}
		})
	}
}

// say sends an answer, or not where the socket has no room: who does not take theirs may
// not keep others waiting for their own, and who is not answered asks again.
func say(c syscall.RawConn, answer []byte, to netip.AddrPort) {
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		address = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	_ = c.Write(func(fd uintptr) bool {
		_ = unix.Sendto(int(fd), answer, unix.MSG_DONTWAIT, address)
		return true
	})
}

func (s *server) connections(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptors left: they come back
			continue
		}
		s.asked()
		from, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			c.Close()
			continue
		}
		client := from.AddrPort().Addr()
		network := s.r.group(client.Unmap())
		if !s.clients.enter(from.IP.String(), network) {
			c.Close()
			continue
		}
		s.work.Go(func() {
			defer s.clients.leave(from.IP.String(), network)
			s.connection(c, client)
		})
	}
}

// connection answers the questions of one client, which may be several.
func (s *server) connection(c *net.TCPConn, client netip.Addr) {
	defer s.close(c)
	for {
		s.listen(c)
		message, err := readTCP(c)
		if err != nil {
			return
		}
		answer := s.r.Answer(message, client, true)
		// Other servers may have taken their time.
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if answer == nil || writeTCP(c, answer) != nil {
			return
		}
		s.asked()
	}
}
