// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// forged is a datagram of UDP without a checksum, as CAP_NET_RAW lets a container send it.
func forged(from, to netip.Addr, port uint16, text string) []byte {
	b := make([]byte, 28, 28+len(text))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(text)))
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], 4000)
	binary.BigEndian.PutUint16(b[22:], port)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(text)))
	return append(b, text...)
}

// sendForged puts a packet on a container's link, past its own routes, for the bridge.
func sendForged(t *testing.T, ns *os.File, bridge net.HardwareAddr, packet []byte) {
	t.Helper()
	must(t, within(ns, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Protocol: unix.ETH_P_IP<<8&0xff00 | unix.ETH_P_IP>>8, Ifindex: link.Attrs().Index, Halen: 6}
		copy(to.Addr[:], bridge)
		return unix.Sendto(fd, packet, 0, to)
	}))
}

// hearing gives what arrives at a port, each datagram with its sender.
func hearing(t *testing.T, ns *os.File, address string) func() string {
	t.Helper()
	var c *net.UDPConn
	must(t, within(ns, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return func() string {
		b := make([]byte, 100)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return err.Error()
		}
		return string(b[:n]) + " from " + from.Addr().Unmap().String()
	}
}

// A container that may send what it wants reaches nothing on the host's loopback
// (CVE-2020-8558), and nobody under an address that is not of its network.
func TestForgedPackets(t *testing.T) {
	if !alone(t) {
		return
	}
	client, here := outside(t), host(t)
	web, at := connect(t, "web", &definition.Network{Key: "front", Name: "front"})
	n, err := lease.Store{}.Network("front")
	must(t, err)
	bridge, err := netlink.LinkByName(n.Link)
	must(t, err)
	send := func(from, to, text string) {
		t.Helper()
		sendForged(t, web, bridge.Attrs().HardwareAddr, forged(netip.MustParseAddr(from), netip.MustParseAddr(to), 7000, text))
	}
	own := at.IPv4.String()
	// A new link takes its time; and what comes through behind a forged one tells that
	// this one had its own.
	until := func(heard func() string, from, to, text, want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(20 * time.Second); got != want && time.Now().Before(end); {
			send(from, to, text)
			if got = heard(); strings.HasPrefix(got, "forged") {
				break
			}
		}
		if got != want {
			t.Errorf("%s hears %q", to, got)
		}
	}
	heard := hearing(t, here, "0.0.0.0:7000")
	until(heard, own, "192.0.2.1", "true", "true from "+own)
	send(own, "127.0.0.1", "forged")
	until(heard, own, "192.0.2.1", "last", "last from "+own)
	heard = hearing(t, client, "192.0.2.2:7000")
	until(heard, own, "192.0.2.2", "true", "true from 192.0.2.1")
	send("198.51.100.9", "192.0.2.2", "forged")
	send("192.0.2.99", "192.0.2.2", "forged")
	until(heard, own, "192.0.2.2", "last", "last from 192.0.2.1")
	must(t, releaseAll("web"))
}
