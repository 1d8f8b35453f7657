// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// raw is a socket that sends and sees TCP's segments as they are.
func raw(t *testing.T, ns *os.File) int { return rawOf(t, ns, unix.IPPROTO_TCP) }

func rawOf(t *testing.T, ns *os.File, protocol int) int {
	t.Helper()
	fd := -1
	must(t, within(ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return err
	}))
	t.Cleanup(func() { unix.Close(fd) })
	wait := unix.NsecToTimeval(int64(5 * time.Second))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	return fd
}

// segment is a TCP header with a checksum (RFC 9293, 3.1).
func segment(from, to netip.Addr, port uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, 4000)
	binary.BigEndian.PutUint16(b[2:], port)
	binary.BigEndian.PutUint32(b[4:], 1000)
	b[12], b[13] = 5<<4, flags
	pseudo := append(append(append(from.AsSlice(), to.AsSlice()...), 0, unix.IPPROTO_TCP, 0, byte(len(b))), b...)
	sum := uint32(0)
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}

// What connection tracking cannot place is not translated: it would leave the
// host with the container's own address.
func TestNothingLeavesUntranslated(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	front := &definition.Network{Key: "front", Name: "front"}
	routed := &definition.Network{Key: "routed", Name: "routed", Options: []definition.KeyValue{{Key: "masquerade", Value: "false"}}}
	web, webAt := connect(t, "web", front)
	own, ownAt := connect(t, "own", routed)
	there := netip.MustParseAddr("192.0.2.2")
	seen := raw(t, client)
	const rst, syn, port = 4, 2, 7070
	send := func(ns *os.File, from netip.Addr, flags byte) {
		t.Helper()
		must(t, unix.Sendto(raw(t, ns), segment(from, there, port, flags), 0, &unix.SockaddrInet4{Addr: there.As4()}))
	}
	send(web, webAt.IPv4, rst) // of no connection
	send(own, ownAt.IPv4, rst)
	send(web, webAt.IPv4, syn)
	var from []string
	b := make([]byte, 1500)
	for len(from) < 2 {
		n, err := unix.Read(seen, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			break
		}
		if n >= 40 && binary.BigEndian.Uint16(b[22:]) == port {
			from = append(from, netip.AddrFrom4([4]byte(b[12:16])).String())
		}
	}
	slices.Sort(from) // two ways, of which either may be the quicker one
	if want := []string{ownAt.IPv4.String(), "192.0.2.1"}; !slices.Equal(from, want) {
		t.Errorf("segments come from %q, want %q", from, want)
	}
	for _, name := range []string{"web", "own"} {
		must(t, releaseAll(name))
	}
}

// Of a published port's connections the host knows nothing: a segment out of
// turn, which is not translated, must not have it reset them.
func TestStraySegmentsResetNothing(t *testing.T) {
	if !alone(t) {
		return
	}
	client := outside(t)
	front := &definition.Network{Key: "front", Name: "front"}
	connect(t, "web", front, definition.Port{Published: 8080, Target: 80, Protocol: "tcp"})
	there, own := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	seen := raw(t, client)
	const synAck = 2 | 16
	for _, port := range []uint16{8080, 8079} { // nobody listens on the second, and the host says so
		must(t, unix.Sendto(raw(t, client), segment(own, there, port, synAck), 0, &unix.SockaddrInet4{Addr: there.As4()}))
	}
	b := make([]byte, 1500)
	for {
		n, err := unix.Read(seen, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("nothing came back: %v", err)
		}
		if from := binary.BigEndian.Uint16(b[20:]); n >= 40 && (from == 8080 || from == 8079) {
			if from == 8080 {
				t.Error("the host has reset it")
			}
			break
		}
	}
	must(t, releaseAll("web"))
}

// A MAC address is one address, however it is written.
func TestWrittenMACIsOnesOwn(t *testing.T) {
	if !alone(t) {
		return
	}
	d := &definition.Network{Name: "macs", Subnets: []definition.Subnet{{Subnet: "192.0.2.0/24"}}}
	ask := func(name, mac string) error {
		a := on(d)
		a[0].MAC = mac
		_, err := Take(Request{Container: name, Attachments: a})
		return err
	}
	must(t, ask("first", "02:42:ac:11:65:aa"))
	for _, same := range []string{"02:42:ac:11:65:aa", "02:42:AC:11:65:AA", "02-42-ac-11-65-aa", "0242.ac11.65aa"} {
		var fault *Fault
		if err := ask("second", same); !errors.As(err, &fault) || !strings.Contains(fault.What, "first's") {
			t.Errorf("%s beside the same address: %v", same, err)
		}
	}
	must(t, ask("second", "02:42:ac:11:65:ab"))
}
