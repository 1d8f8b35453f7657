// SPDX-License-Identifier: Apache-2.0

// Package endpoint is what a probe over the network asks, and what it makes of
// the answer. It speaks to nobody: the relay does over plain connections, and
// unitc-probe over TLS.
package endpoint

import (
	"net/netip"
	"strconv"
	"strings"
)

// MaxAnswer is what is read of the answer to an HTTP request, in bytes: the
// status is in its first line.
const MaxAnswer = 1024

// Endpoint is a probe's target, parted.
type Endpoint struct {
	Addresses []netip.AddrPort
	Host      string // for the Host header
	Path      string
}

// schemes and their ports.
var schemes = []struct{ prefix, port string }{{"http://", "80"}, {"https://", "443"}}

// Parse reads ADDRESS:PORT or http://ADDRESS:PORT/PATH, https too; the planner
// has checked it. "localhost" and no address are the loopback of either family.
func Parse(target string) (Endpoint, bool) {
	e := Endpoint{Path: "/"}
	rest, usual := target, ""
	for _, s := range schemes {
		if after, ok := strings.CutPrefix(target, s.prefix); ok {
			rest, usual = after, s.port
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest, e.Path = rest[:i], rest[i:]
			}
		}
	}
	e.Host = rest
	host, port := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
	}
	if port == "" {
		if port = usual; usual == "" {
			host, port = "", rest
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return e, false
	}
	if host = strings.Trim(host, "[]"); host == "" || host == "localhost" {
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
			e.Addresses = append(e.Addresses, netip.AddrPortFrom(a, uint16(n)))
		}
		if e.Host = "localhost:" + port; port == usual {
			e.Host = "localhost" // as clients write it
		}
		return e, true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return e, false
	}
	e.Addresses = []netip.AddrPort{netip.AddrPortFrom(a, uint16(n))}
	return e, true
}

// Request is all that is sent.
func (e *Endpoint) Request() string {
	return "GET " + e.Path + " HTTP/1.1\r\nHost: " + e.Host + "\r\nUser-Agent: unitc\r\nAccept: */*\r\nConnection: close\r\n\r\n"
}

// Verdict says what is wrong with an answer whose first line is given, "" =
// nothing.
func (e *Endpoint) Verdict(line string) string {
	status, ok := httpStatus(line)
	switch {
	case !ok:
		return "no http answer on " + e.Path
	case status < 200 || status > 399:
		return "http " + strconv.Itoa(status) + " on " + e.Path
	}
	return ""
}

// httpStatus reads "HTTP/1.1 200 OK".
func httpStatus(line string) (int, bool) {
	f := strings.Fields(line)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/") {
		return 0, false
	}
	n, err := strconv.Atoi(f[1])
	return n, err == nil && n >= 100 && n <= 999
}
