// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unitc/unitc/internal/network/lease"
)

// upstream is a server whose answers to each message are what a test says.
func upstream(t *testing.T, answers func(message []byte, from netip.AddrPort) [][]byte) string {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, largest)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			for _, answer := range answers(bytes.Clone(b[:n]), from) {
				_, _ = c.WriteToUDPAddrPort(answer, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

// told is the answer to a message, with an address.
func told(t *testing.T, message []byte, address string) []byte {
	t.Helper()
	q, _, ok := parse(message)
	if !ok {
		t.Errorf("%x is no question", message)
	}
	return q.reply(dnsmessage.RCodeSuccess, []netip.Addr{netip.MustParseAddr(address)}, "")
}

// What another one has sent, or to another question, is passed over.
func TestForgedAnswersArePassedOver(t *testing.T) {
	const forged, right = "203.0.113.66", "203.0.113.9"
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	server := upstream(t, func(message []byte, from netip.AddrPort) [][]byte {
		_, _ = other.WriteToUDPAddrPort(told(t, message, forged), from)
		number, asked := told(t, message, forged), told(t, question(t, "example.com.", dnsmessage.TypeA), forged)
		number[1] ^= 1
		copy(asked, message[:2])
		kind := told(t, message, forged)
		kind[12+len("\x07example\x03org\x00")+1] = byte(dnsmessage.TypeAAAA)
		noQuestion := append(bytes.Clone(message[:2]), 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0)
		return [][]byte{number, asked, kind, message, noQuestion, nil, message[:5], told(t, message, right)}
	})
	answer, err := exchange(server, question(t, "example.org.", dnsmessage.TypeA), false)
	if err != nil {
		t.Fatal(err)
	}
	if status, got := read(t, answer); status != dnsmessage.RCodeSuccess || !slices.Equal(got, []string{right}) {
		t.Errorf("the answer is %s %q", status, got)
	}
}

// Numbers and ports cannot be guessed: neither repeats nor counts on.
func TestQuestionsGoOutUnderRandomNumbers(t *testing.T) {
	const count = 200
	numbers, ports := map[uint16]int{}, map[uint16]int{}
	var mu sync.Mutex
	var next int
	var last uint16
	server := upstream(t, func(message []byte, from netip.AddrPort) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		number := uint16(message[0])<<8 | uint16(message[1])
		if number == last+1 {
			next++
		}
		last = number
		numbers[number]++
		ports[from.Port()]++
		return [][]byte{told(t, message, "203.0.113.9")}
	})
	for range count {
		if _, err := exchange(server, question(t, "example.org.", dnsmessage.TypeA), false); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(numbers) < count-10 || len(ports) < count/2 || next > 10 {
		t.Errorf("%d questions had %d numbers, %d of them the next one, and %d ports", count, len(numbers), next, len(ports))
	}
}

// A server that does not understand the question repeats none of it.
func TestAnswersWithoutAQuestion(t *testing.T) {
	server := upstream(t, func(message []byte, _ netip.AddrPort) [][]byte {
		return [][]byte{append(bytes.Clone(message[:2]), 0x81, 0x80|byte(dnsmessage.RCodeFormatError), 0, 0, 0, 0, 0, 0, 0, 0)}
	})
	asked := question(t, "example.org.", dnsmessage.TypeA)
	answer, err := exchange(server, asked, false)
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if status, _ := read(t, answer); m.Unpack(answer) != nil || status != dnsmessage.RCodeFormatError || len(m.Questions) != 1 {
		t.Errorf("the answer is %+v", m)
	}
}

// One server that refuses, or fails, is not the last word.
func TestServersThatRefuse(t *testing.T) {
	root, locked := records(t)
	locked.Unlock()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.1\nnameserver ::ffff:"+lease.Resolver.String()+"\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const success, refused, failed, no = dnsmessage.RCodeSuccess, dnsmessage.RCodeRefused, dnsmessage.RCodeServerFailure, dnsmessage.RCodeNameError
	for _, c := range []struct {
		says  map[string]dnsmessage.RCode // others say nothing
		want  dnsmessage.RCode
		asked []string
	}{
		{map[string]dnsmessage.RCode{"192.0.2.1": refused, "192.0.2.2": failed, "192.0.2.3": success}, success, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{map[string]dnsmessage.RCode{"192.0.2.1": no, "192.0.2.2": success}, no, []string{"192.0.2.1"}},
		{map[string]dnsmessage.RCode{"192.0.2.2": refused, "192.0.2.3": failed}, refused, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{nil, failed, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.3"}},
	} {
		r := New(root, conf)
		var asked []string
		r.ask = func(server string, message []byte, _ bool) ([]byte, error) {
			asked = append(asked, server)
			status, there := c.says[server]
			if !there {
				return nil, errors.New("nobody")
			}
			q, _, _ := parse(message)
			return q.reply(status, nil, ""), nil
		}
		status, _ := read(t, r.Answer(question(t, "example.org.", dnsmessage.TypeA), other, false))
		if status != c.want || !slices.Equal(asked, c.asked) {
			t.Errorf("%v: %s of %q, want %s of %q", c.says, status, asked, c.want, c.asked)
		}
	}
}

// Without a server named, it is the host's own; a file written within one tick
// of the clock is read again.
func TestServersOfTheHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	h := &hostServers{path: path}
	now := time.Now()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{"127.0.0.1"}}, {"# none\nsearch .\n", []string{"127.0.0.1"}},
		{"nameserver 127.0.0.53\n", []string{"127.0.0.53"}}, {"nameserver 127.0.0.54\n", []string{"127.0.0.54"}},
	} {
		if c.text != "" {
			if err := errors.Join(os.WriteFile(path, []byte(c.text), 0o644), os.Chtimes(path, now, now)); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.get(); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// servedTCP serves connections, whose clients are a container, until end.
func servedTCP(t *testing.T, ask func(string, []byte, bool) ([]byte, error)) (c net.Conn, end func() <-chan error) {
	t.Helper()
	root, locked := records(t)
	defer locked.Unlock()
	if err := locked.Put(&lease.Record{Container: "local", Network: "front", IPv4: netip.MustParseAddr("127.0.0.1"), DNS: []string{"192.0.2.1", "192.0.2.2"}}); err != nil {
		t.Fatal(err)
	}
	r := New(root, "")
	r.ask = ask
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan os.Signal), make(chan error, 1)
	go func() { done <- Serve(r, []*os.File{f}, time.Hour, stop) }()
	c, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, func() <-chan error { close(stop); return done }
}

// An answer that other servers were long about is told over TCP as well.
func TestLateAnswersOverTCP(t *testing.T) {
	c, end := servedTCP(t, func(server string, message []byte, _ bool) ([]byte, error) {
		if server == "192.0.2.1" {
			time.Sleep(patience + 100*time.Millisecond) // as a server does that is not there
			return nil, errors.New("nobody")
		}
		return told(t, message, "203.0.113.9"), nil
	})
	if err := writeTCP(c, question(t, "example.org.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	answer, err := readTCP(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, got := read(t, answer); !slices.Equal(got, []string{"203.0.113.9"}) {
		t.Errorf("the answer is %q", got)
	}
	if err := <-end(); err != nil {
		t.Error(err)
	}
}

// A client that asks on and on over one connection does not keep the program
// from ending, and has an answer to whatever was read.
func TestServeEndsWhileOneAsksOnAndOn(t *testing.T) {
	c, end := servedTCP(t, func(string, []byte, bool) ([]byte, error) { return nil, errors.New("nobody") })
	var asked, answered atomic.Int64
	began, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for writeTCP(c, question(t, "db.", dnsmessage.TypeA)) == nil {
			asked.Add(1)
			if _, err := readTCP(c); err != nil {
				return
			}
			if answered.Add(1) == 10 {
				close(began)
			}
		}
	}()
	<-began
	select {
	case err := <-end():
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
	<-gone
	if asked.Load()-answered.Load() > 1 {
		t.Errorf("of %d questions %d were answered", asked.Load(), answered.Load())
	}
}
