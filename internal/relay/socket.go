// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/endpoint"
	"github.com/unitc/unitc/internal/relay/order"
)

// dialog is a connection of a probe on its way.
type dialog struct {
	endpoint.Endpoint
	a       *attempt
	what    string // "tcp 127.0.0.1:80", for messages
	request string // "" = connecting is all
	fd      int
	sent    bool
	answer  []byte
}

func (r *relay) socketProbe(deadline time.Time) (*attempt, string) {
	e, ok := endpoint.Parse(r.o.Target)
	if !ok {
		return nil, "no address: " + r.o.Target
	}
	d := &dialog{Endpoint: e, a: newAttempt(deadline), fd: -1}
	d.what = "tcp " + e.Host
	if r.o.Probe == order.ProbeHTTP {
		d.what = "http " + e.Host
		d.request = e.Request()
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
	for len(d.Addresses) > 0 {
		to := d.Addresses[0]
		d.Addresses = d.Addresses[1:]
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
	var b [endpoint.MaxAnswer]byte
	n, err := unix.Read(d.fd, b[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return false, ""
	}
	if err != nil {
		return true, d.what + ": " + err.Error()
	}
	d.answer = append(d.answer, b[:n]...)
	line, _, whole := strings.Cut(string(d.answer), "\n")
	if !whole && n > 0 && len(d.answer) < endpoint.MaxAnswer {
		return false, ""
	}
	return true, d.Verdict(line)
}

func (d *dialog) connected() (bool, string) {
	code, err := unix.GetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		if len(d.Addresses) > 0 && d.connect() == "" {
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
