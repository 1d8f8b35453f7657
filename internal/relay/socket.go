// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// maxAnswer is what is read of the answer to an HTTP request, in bytes: the
// status is in its first line.
const maxAnswer = 1024

// endpoint is a probe's target, parted.
type endpoint struct {
	addresses []netip.AddrPort
	host      string // for the Host header
	path      string
}

// parseEndpoint reads ADDRESS:PORT or http://ADDRESS:PORT/PATH; the planner has
// checked it. "localhost" and no address are the loopback of either family.
func parseEndpoint(target string) (endpoint, bool) {
	e := endpoint{path: "/"}
	rest, isURL := strings.CutPrefix(target, "http://")
	if isURL {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest, e.path = rest[:i], rest[i:]
		}
	}
	e.host = rest
	host, port := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
	}
	switch {
	case port == "" && isURL:
		port = "80"
	case port == "":
		host, port = "", rest
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return e, false
	}
	if host = strings.Trim(host, "[]"); host == "" || host == "localhost" {
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
			e.addresses = append(e.addresses, netip.AddrPortFrom(a, uint16(n)))
		}
		if e.host = "localhost:" + port; isURL && port == "80" {
			e.host = "localhost" // as clients write it
		}
		return e, true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return e, false
	}
	e.addresses = []netip.AddrPort{netip.AddrPortFrom(a, uint16(n))}
	return e, true
}

// dialog is a connection of a probe on its way.
type dialog struct {
	endpoint
	a       *attempt
	what    string // "tcp 127.0.0.1:80", for messages
	request string // "" = connecting is all
	fd      int
	sent    bool
	answer  []byte
}

func (r *relay) socketProbe(deadline time.Time) (*attempt, string) {
	e, ok := parseEndpoint(r.o.Target)
	if !ok {
		return nil, "no address: " + r.o.Target
	}
	d := &dialog{endpoint: e, a: newAttempt(deadline), fd: -1}
	d.what = "tcp " + e.host
	if r.o.Probe == order.ProbeHTTP {
		d.what = "http " + e.host
		d.request = "GET " + e.path + " HTTP/1.1\r\nHost: " + e.host + "\r\nUser-Agent: unitc\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	}
	d.a.step, d.a.stop = d.step, d.close
	d.a.late = func() string { return d.what + ": no answer in " + r.o.Timeout.String() }
	if failure := d.connect(); failure != "" {
		d.close()
		return nil, failure
	}
	return d.a, ""
}

func (d *dialog) close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
		d.fd = -1
	}
}

// connect begins with the next address that does not refuse at once.
func (d *dialog) connect() string {
	failure := ""
	for len(d.addresses) > 0 {
		to := d.addresses[0]
		d.addresses = d.addresses[1:]
		d.close()
		family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
		if to.Addr().Is4() {
			family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		}
		var err error
		if d.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err == nil {
			err = unix.Connect(d.fd, sa)
		}
		if err == nil || err == unix.EINPROGRESS {
			d.a.fds[0] = unix.PollFd{Fd: int32(d.fd), Events: unix.POLLOUT}
			return ""
		}
		if failure == "" {
			failure = d.what + ": " + err.Error()
		}
	}
	return failure
}

func (d *dialog) step(_ int, _ int16) (bool, string) {
	if !d.sent {
		return d.connected()
	}
	var b [maxAnswer]byte
	n, err := unix.Read(d.fd, b[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return false, ""
	}
	if err != nil {
		return true, d.what + ": " + err.Error()
	}
	d.answer = append(d.answer, b[:n]...)
	line, _, whole := strings.Cut(string(d.answer), "\n")
	if !whole && n > 0 && len(d.answer) < maxAnswer {
		return false, ""
	}
	status, ok := httpStatus(line)
	switch {
	case !ok:
		return true, "no http answer on " + d.path
	case status < 200 || status > 399:
		return true, "http " + strconv.Itoa(status) + " on " + d.path
	}
	return true, ""
}

func (d *dialog) connected() (bool, string) {
	code, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		if len(d.addresses) > 0 && d.connect() == "" {
			return false, ""
		}
		return true, d.what + ": " + err.Error()
	}
	if d.request == "" {
		return true, ""
	}
	// A request fits the socket's buffer.
	if _, err := unix.Write(d.fd, []byte(d.request)); err != nil {
		return true, d.what + ": " + err.Error()
	}
	d.sent = true
	d.a.fds[0].Events = unix.POLLIN
	return false, ""
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

// unixProbe connects to a socket of the payload's: a path in its tree, or "@"
// and a name of its network namespace.
func unixProbe(target string, deadline time.Time) (*attempt, string) {
	what := "unix " + target
	name := target
	if strings.HasPrefix(target, "@") {
		name = "\x00" + target[1:]
	} else {
		place, err := openInRoot(target)
		if err != nil {
			return nil, what + ": " + err.Error()
		}
		defer unix.Close(place)
		// The link leads to what was opened, whatever has its name by now.
		name = "/proc/self/fd/" + strconv.Itoa(place)
	}
	var err error
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		var fd int
		if fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			break
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
		unix.Close(fd)
		if err != unix.EPROTOTYPE {
			break
		}
	}
	if err != nil {
		return nil, what + ": " + err.Error()
	}
	return nil, ""
}
