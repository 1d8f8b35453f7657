// SPDX-License-Identifier: Apache-2.0

// Package journal is how unitc's own programs speak in a container's unit. What
// the payload writes is passed on to the same log, and it may not say how urgent it
// is: journald writes what is marked as an emergency to the terminals of all who
// are logged in, control characters included (journald.conf(5), ForwardToWall=).
// So the units have SyslogLevelPrefix=no, and what is ours goes by a stream of its
// own, which is there for who has something to say.
package journal

import (
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
)

// Stderr takes lines that begin with their priority, "<3>" (sd-daemon(3)). Where
// standard error is no stream of journald's they go there as they are.
var Stderr io.Writer = &stream{}

// patience bounds the wait for journald.
const patience = 3 * time.Second

type stream struct {
	mu   sync.Mutex
	fd   int
	open bool
}

// Write implements io.Writer.
func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		s.fd, s.open = connect(unix.Stderr), true
	}
	for n := 0; n < len(b); {
		m, err := unix.Write(s.fd, b[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return len(b), nil
}

// connect gives a stream to the journald at the other end of fd, or fd itself. The
// namespace of the log is in the socket's name.
func connect(fd int) int {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return fd
	}
	to, ok := peer.(*unix.SockaddrUnix)
	if !ok || !strings.HasPrefix(to.Name, "/run/systemd/journal") || !strings.HasSuffix(to.Name, "/stdout") {
		return fd
	}
	own, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fd
	}
	// A journald that stands still must not hold up who starts a container.
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	_ = unix.SetsockoptTimeval(own, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	unit := cgroupfs.UnitOf("self")
	if err = unix.Connect(own, to); err == nil {
		_, err = unix.Write(own, []byte(header(unit)))
	}
	if err != nil {
		unix.Close(own)
		return fd
	}
	return own
}

// header is what systemd itself begins a stream with (its exec-invoke.c,
// connect_logger_as): the name of the lines, the unit, the priority of lines without
// one, that lines have one, and no copies to syslog, the kernel's log and the console.
func header(unit string) string {
	const info = "30" // LOG_DAEMON|LOG_INFO
	return strings.TrimSuffix(unit, ".service") + "\n" + unit + "\n" + info + "\n1\n0\n0\n0\n"
}
