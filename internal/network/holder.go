// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/network/lease"
)

// portBusy tells whether somebody listens on a port: a rule that leads it
// elsewhere would take it from the program that has it, without a word.
func portBusy(p lease.Port) (bool, error) {
	busy, err := cannotBind(p)
	// unitc's own resolver is found by its address, whatever is published.
	if busy && p.Port == resolverPort && p.Host.IsUnspecified() && resolverAlone(p) {
		return false, nil
	}
	return busy, err
}

const resolverPort = 53

func cannotBind(p lease.Port) (bool, error) {
	kind, number := unix.SOCK_STREAM, 0
	switch p.Protocol {
	case "udp":
		kind = unix.SOCK_DGRAM
	case "sctp":
		number = unix.IPPROTO_SCTP
	}
	domain := unix.AF_INET
	var address unix.Sockaddr = &unix.SockaddrInet4{Port: int(p.Port), Addr: as4(p.Host)}
	if p.Host.Is6() {
		domain = unix.AF_INET6
		address = &unix.SockaddrInet6{Port: int(p.Port), Addr: p.Host.As16()}
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, number)
	if err != nil {
		return false, nil // a protocol that this kernel has not, nobody uses
	}
	defer unix.Close(fd)
	if p.Protocol != "udp" {
		// Connections of a server that has ended are no server.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return false, err
		}
	}
	// An address that the host does not have yet may come.
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return false, err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	}
	err = unix.Bind(fd, address)
	if err == nil && p.Protocol != "udp" {
		// With SO_REUSEADDR a bind beside a server that has it too goes well; to
		// listen does not.
		err = unix.Listen(fd, 1)
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return true, nil
	}
	return false, err
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

// holderOf names the unit and the process that have a port, as far as /proc
// tells; unit names the socket unit that listens on a port, "" = none.
func holderOf(p lease.Port, unit func(lease.Port) string) string {
	inodes := map[string]bool{}
	for _, s := range socketsOn(p) {
		inodes[s.inode] = true
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if pid == "1" {
			// Sockets of units are systemd's, also while their services run.
			continue
		}
		return describeProcess(pid)
	}
	if unit != nil {
		if name := unit(p); name != "" {
			return name
		}
	}
	return "a program in another namespace, or one that /proc does not show"
}

// socket is one on a port of the host's.
type socket struct {
	address netip.Addr
	inode   string
}

// socketsOn reads the kernel's table of a protocol: of TCP those that listen.
func socketsOn(p lease.Port) []socket {
	if p.Protocol == "sctp" {
		data, _ := os.ReadFile("/proc/net/sctp/eps")
		return sctpSockets(string(data), p.Port)
	}
	var list []socket
	for _, family := range []string{"", "6"} {
		data, _ := os.ReadFile("/proc/net/" + p.Protocol + family)
		list = append(list, socketsOf(string(data), p)...)
	}
	return list
}

func socketsOf(table string, p lease.Port) []socket {
	const listening = "0A" // net/tcp_states.h
	var list []socket
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || p.Protocol == "tcp" && f[3] != listening {
			continue
		}
		at, number, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(number, 16, 16); err == nil && uint16(n) == p.Port {
			list = append(list, socket{procAddress(at), f[9]})
		}
	}
	return list
}

// procAddress reads an address of /proc/net: words of 32 bits in hexadecimal,
// in the machine's order of bytes.
func procAddress(text string) netip.Addr {
	b, err := hex.DecodeString(text)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// sctpSockets reads the table of SCTP's endpoints, which has other columns.
func sctpSockets(table string, port uint16) (list []socket) {
	const portColumn, inodeColumn = 5, 7
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > inodeColumn && f[portColumn] == strconv.Itoa(int(port)) {
			list = append(list, socket{inode: f[inodeColumn]})
		}
	}
	return list
}

// resolverAlone tells whether unitc's resolver alone is what keeps a port of
// all addresses busy.
func resolverAlone(p lease.Port) bool {
	found := false
	for _, s := range socketsOn(p) {
		// One of all IPv6 addresses may be of IPv4's too.
		other := s.address.IsValid() && s.address.Is4() != p.Host.Is4() && s.address != netip.IPv6Unspecified()
		if !other && !lease.IsResolver(s.address) {
			return false
		}
		found = found || lease.IsResolver(s.address)
	}
	return found
}

func describeProcess(pid string) string {
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	text := fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	if unit := cgroupfs.UnitOf(pid); unit != "" {
		return unit + ", " + text
	}
	return text
}
