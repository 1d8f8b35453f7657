// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
)

// AsksResolver tells whether the container's questions for names go to unitc's
// resolver.
func (c *Claim) AsksResolver() bool { return c.resolver().IsValid() }

// ResolverListens tells whether the resolver's sockets are known to be open: the
// last one of unitc-resolver.socket is.
func ResolverListens() bool { return listens(netip.AddrPortFrom(lease.Resolver, resolverPort)) }

// listens asks the kernel for the TCP socket that takes connections to an IPv4
// address (sock_diag(7)); without its module for that, tcp_diag, it knows none.
// /proc/net/tcp would take 2 ms: the kernel looks through all places where
// connections could be.
func listens(at netip.AddrPort) bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Sendto(fd, socketRequest(at), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return false
	}
	// The answer is there when sendto(2) returns (sock_diag_rcv).
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
	return err == nil && isListener(answer[:n], at)
}

const (
	sockDiagByFamily = 20 // linux/sock_diag.h
	diagRequestSize  = 56 // struct inet_diag_req_v2, linux/inet_diag.h
	tcpListen        = 10 // net/tcp_states.h
)

// socketRequest is a struct inet_diag_req_v2 with its struct nlmsghdr.
func socketRequest(at netip.AddrPort) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.SizeofNlMsghdr+diagRequestSize)
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence and sender
	b = append(b, unix.AF_INET, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 1<<tcpListen)
	b = binary.BigEndian.AppendUint16(b, at.Port())
	b = append(b, 0, 0) // connected to no port
	b = append(b, at.Addr().AsSlice()...)
	b = append(b, make([]byte, 12+16+4)...) // the rest of the address, no other end, any interface
	// Whichever socket it is (INET_DIAG_NOCOOKIE).
	return append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

// isListener tells whether an answer, a struct nlmsghdr and a struct
// inet_diag_msg, is of a socket that listens at the very address: the kernel
// also gives one of all addresses.
func isListener(answer []byte, at netip.AddrPort) bool {
	const state, port, address = unix.SizeofNlMsghdr + 1, unix.SizeofNlMsghdr + 4, unix.SizeofNlMsghdr + 8
	return len(answer) >= address+4 && binary.NativeEndian.Uint16(answer[4:]) == sockDiagByFamily && answer[state] == tcpListen &&
		binary.BigEndian.Uint16(answer[port:]) == at.Port() && slices.Equal(answer[address:address+4], at.Addr().AsSlice())
}
