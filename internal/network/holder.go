// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
)

// portBusy tries to bind the port: a rule that leads it elsewhere would take
// it from the program that has it, without a word.
func portBusy(p lease.Port) (bool, error) {
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
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return false, err
		}
	}
	// An address that the host does not have yet may come.
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
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
// tells.
func holderOf(p lease.Port) string {
	inodes := map[string]bool{}
	for _, family := range []string{"", "6"} {
		data, _ := os.ReadFile("/proc/net/" + p.Protocol + family)
		socketsOf(string(data), p.Port, inodes)
	}
	if len(inodes) == 0 {
		return "a program that cannot be found"
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if pid == "1" {
			// Sockets of units are systemd's until their service has started.
			continue
		}
		return describeProcess(pid)
	}
	return "a socket unit (`systemctl list-sockets`), or a program in another namespace"
}

// socketsOf collects the inodes of sockets on a port: of TCP those that listen.
func socketsOf(table string, port uint16, inodes map[string]bool) {
	const listening, unconnected = "0A", "07" // net/tcp_states.h
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != listening && f[3] != unconnected {
			continue
		}
		_, number, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(number, 16, 16); err == nil && uint16(n) == port {
			inodes[f[9]] = true
		}
	}
}

func describeProcess(pid string) string {
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	text := fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	cgroup, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	_, path, _ := strings.Cut(string(cgroup), "::")
	parts := strings.Split(strings.TrimSpace(path), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if strings.HasSuffix(parts[i], ".service") || strings.HasSuffix(parts[i], ".scope") {
			return parts[i] + ", " + text
		}
	}
	return text
}
