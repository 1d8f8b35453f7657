// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// echo answers each datagram with its name and the client's address.
func echo(t *testing.T, ns *os.File, name, address string) {
	t.Helper()
	var c *net.UDPConn
	must(t, within(ns, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort([]byte(name+" "+netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String()), from)
		}
	}()
}

// sender is one client's socket: what it sends is one flow.
func sender(t *testing.T, ns *os.File, to string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	must(t, within(ns, func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

// say sends a datagram and gives the answer, "" = none within a moment.
func say(c *net.UDPConn) string {
	b := make([]byte, 100)
	_, _ = c.Write([]byte("?")) // an earlier one that was refused is told here
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	n, _ := c.Read(b)
	return string(b[:n])
}

// hears sends until an answer begins as it should.
func hears(t *testing.T, what string, c *net.UDPConn, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if got = say(c); strings.HasPrefix(got, want) {
			return
		}
	}
	t.Errorf("%s: the last answer is %q, want %s…", what, got, want)
}

func udpPort(published, target int) definition.Port {
	return definition.Port{Published: published, Target: target, Protocol: "udp"}
}

func TestDatagrams(t *testing.T) {
	if !alone(t) {
		return
	}
	client, here := outside(t), host(t)
	front := &definition.Network{Key: "front", Name: "front", IPv6: true}
	bound := udpPort(5302, 53)
	bound.HostIP = "192.0.2.1"
	web, _ := connect(t, "web", front, udpPort(5300, 53), bound, udpPort(5353, 53))
	app, _ := connect(t, "app", front)
	echo(t, web, "web", "[::]:53")
	for _, w := range []struct {
		name string
		from *os.File
		to   string
		want string // "" = no way
	}{
		{"outside to port", client, "192.0.2.1:5300", "web 192.0.2.2:"},
		{"outside to port, IPv6", client, "[2001:db8::1]:5300", "web [2001:db8::2]:"},
		{"outside to one address's port", client, "192.0.2.1:5302", "web 192.0.2.2:"},
		{"outside to one address's port by another", client, "[2001:db8::1]:5302", ""},
		{"host to port", here, "192.0.2.1:5300", "web 192.0.2.1:"},
		{"host to port, IPv6", here, "[2001:db8::1]:5300", "web [2001:db8::1]:"},
		{"host to port, loopback", here, "127.0.0.1:5300", "web 10."},
		{"host's loopback to one address's port", here, "127.0.0.1:5302", ""},
		{"hairpin", web, "192.0.2.1:5300", "web 10."},
		{"hairpin, IPv6", web, "[2001:db8::1]:5300", "web [fd"},
		{"neighbour to port", app, "192.0.2.1:5300", "web 10."},
	} {
		c := sender(t, w.from, w.to)
		if w.want != "" {
			hears(t, w.name, c, w.want)
		} else if got := say(c); got != "" {
			t.Errorf("%s: answered %q, and there should be no way", w.name, got)
		}
	}
	for _, name := range []string{"web", "app"} {
		must(t, releaseAll(name))
	}
}

// A client that sends all the time is answered as soon as the container is
// back, at whatever address, and hears of it when nobody is there.
func TestDatagramsAfterARestart(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	front := &definition.Network{Key: "front", Name: "front", IPv6: true}
	connect(t, "other", front) // the network stays
	clients := map[string]*net.UDPConn{}
	for _, to := range []string{"192.0.2.1:5300", "[2001:db8::1]:5300"} {
		clients[to] = sender(t, client, to)
		say(clients[to]) // a flow to the host itself
	}
	for i := range 3 {
		at := on(front)
		at[0].IPv4 = lease.Nth(subnetOf(t, "front"), uint64(100+i)).String()
		ns := newNamespace(t)
		c, err := Take(Request{Container: "dns", Attachments: at, Ports: []definition.Port{udpPort(5300, 53)}})
		must(t, err)
		must(t, c.Connect(ns))
		name := fmt.Sprint("dns", i)
		echo(t, ns, name, "[::]:53")
		for to, c := range clients {
			hears(t, name+" at "+to, c, name)
		}
		must(t, releaseAll("dns"))
		for to, c := range clients {
			refused(t, name+" at "+to, c)
		}
	}
	must(t, releaseAll("other"))
}

func subnetOf(t *testing.T, network string) netip.Prefix {
	t.Helper()
	n, err := lease.Store{}.Network(network)
	must(t, err)
	return n.Subnets[0].Prefix
}

// refused waits until the host itself says that nobody is there.
func refused(t *testing.T, what string, c *net.UDPConn) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		_, err := c.Write([]byte("?"))
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			_, err = c.Read(make([]byte, 100))
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			return
		}
	}
	t.Errorf("%s: it is gone, and nobody says so", what)
}

// The resolver of unitc has port 53 of its own address. A container may have
// it of all others, and does not take the resolver's questions.
func TestPort53IsFree(t *testing.T) {
	if !alone(t) {
		return
	}
	here := host(t)
	for _, a := range []netip.Addr{lease.Resolver, lease.Resolver6} {
		fd, err := freeBound(a, unix.SOCK_DGRAM)
		must(t, err)
		defer unix.Close(fd)
		fd, err = freeBound(a, unix.SOCK_STREAM)
		must(t, err)
		must(t, unix.Listen(fd, 1))
		defer unix.Close(fd)
	}
	front := &definition.Network{Key: "front", Name: "front", IPv6: true}
	tcp := udpPort(53, 53)
	tcp.Protocol = "tcp"
	dns, _ := connect(t, "dns", front, udpPort(53, 53), tcp)
	echo(t, dns, "dns", "[::]:53")
	app, _ := connect(t, "app", front)
	hears(t, "the host", sender(t, here, "127.0.0.1:53"), "dns")
	for _, a := range []netip.Addr{lease.Resolver, lease.Resolver6} {
		if got := say(sender(t, app, netip.AddrPortFrom(a, 53).String())); got != "" {
			t.Errorf("a question to %s is answered with %q", a, got)
		}
	}
	must(t, releaseAll("dns"))
	// Somebody else's is taken.
	fd, err := freeBound(netip.MustParseAddr("127.0.0.1"), unix.SOCK_DGRAM)
	must(t, err)
	defer unix.Close(fd)
	_, err = Take(Request{Container: "dns", Attachments: on(front), Ports: []definition.Port{udpPort(53, 53)}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a port of UDP in use gives %v", err)
	}
	for _, name := range []string{"app", "dns"} {
		must(t, releaseAll(name))
	}
}

// freeBound is a socket at port 53 of an address that no interface may have.
func freeBound(a netip.Addr, kind int) (int, error) {
	domain, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: 53, Addr: as4(a)})
	if a.Is6() {
		domain, address = unix.AF_INET6, &unix.SockaddrInet6{Port: 53, Addr: a.As16()}
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1); err != nil {
		return -1, err
	}
	if a.Is6() {
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return -1, err
		}
	}
	return fd, unix.Bind(fd, address)
}

// One network asks for names without end, over IPv4 and IPv6: the resolver has one queue,
// and so much of it comes there that the questions of another network have room.
func TestQuestionsWithoutEnd(t *testing.T) {
	if !alone(t) {
		return
	}
	here := host(t)
	evil, _ := connect(t, "evil", &definition.Network{Key: "evil", Name: "evil", IPv6: true})
	good, _ := connect(t, "good", &definition.Network{Key: "good", Name: "good", IPv6: true})
	for _, a := range []netip.Addr{lease.Resolver, lease.Resolver6} {
		to := netip.AddrPortFrom(a, 53)
		echo(t, here, "names", to.String())
		flood, asker := sender(t, evil, to.String()), sender(t, good, to.String())
		hears(t, "before", asker, "names")
		const span = time.Second
		var answered atomic.Int64
		sent := 0
		go func() {
			b := make([]byte, 100)
			for _, err := flood.Read(b); err == nil; _, err = flood.Read(b) {
				answered.Add(1)
			}
		}()
		begun := time.Now()
		for ; time.Since(begun) < span; sent++ {
			_, _ = flood.Write([]byte("?"))
		}
		hears(t, "meanwhile", asker, "names")
		_ = flood.SetReadDeadline(time.Now())
		if most := mostAsked + int(time.Since(begun).Seconds()*mostAsked) + 100; sent < 2*most || int(answered.Load()) > most {
			t.Errorf("%s: %d of %d questions came through, at most %d are to", a, answered.Load(), sent, most)
		}
	}
	for _, name := range []string{"evil", "good"} {
		must(t, releaseAll(name))
	}
}
