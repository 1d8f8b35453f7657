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
	// bare: it is the payload's, where a priority would be text.
	bare bool
}

// Write implements io.Writer.
func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		s.fd, s.open = connect(unix.Stderr), true
		s.bare = s.fd == unix.Stderr && socketOf(unix.Stderr) != nil
	}
	for text := entry(b, s.bare); len(text) > 0; {
		n, err := unix.Write(s.fd, text)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		text = text[n:]
	}
	return len(b), nil
}

// entry is what is written of one word of ours. It may repeat what a payload or an image
// has made up, a file's name say: each of its lines has the priority of the first, or
// none of ours where that would be text, and no control character is left in it.
func entry(b []byte, bare bool) []byte {
	priority := ""
	if len(b) > 2 && b[0] == '<' && b[2] == '>' {
		priority, b = string(b[:3]), b[3:]
	}
	if bare {
		priority = ""
	}
	var text []byte
	for line := range strings.Lines(string(b)) {
		line, whole := strings.CutSuffix(line, "\n")
		text = append(append(text, priority...), Plain(line)...)
		if whole {
			text = append(text, '\n')
		}
	}
	return text
}

// Plain takes out of a text what could steer the terminal on which it is shown, here or
// by systemctl(1), whose lines of status are printed as they are.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			return ' '
		}
		return r
	}, text)
}

// connect gives a stream to the journald at the other end of fd, or fd itself.
func connect(fd int) int {
	to := socketOf(fd)
	if to == nil {
		return fd
	}
	unit := cgroupfs.UnitOf("self")
	own, err := open(to, header(strings.TrimSuffix(unit, ".service"), unit, true))
	if err != nil {
		return fd
	}
	// A journald that stands still must not hold up who starts a container.
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	_ = unix.SetsockoptTimeval(own, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	return own
}

// socketOf is where a stream of journald's leads, also when it has been closed there;
// nil = it is none. The namespace of the log is in the socket's name.
func socketOf(fd int) *unix.SockaddrUnix {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return nil
	}
	to, ok := peer.(*unix.SockaddrUnix)
	if !ok || !strings.HasPrefix(to.Name, "/run/systemd/journal") || !strings.HasSuffix(to.Name, "/stdout") {
		return nil
	}
	return to
}

// open begins a stream. It does not wait for journald, whose socket keeps what is
// sent for it.
func open(to *unix.SockaddrUnix, header string) (int, error) {
	own, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	_ = unix.SetsockoptTimeval(own, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	if err = unix.Connect(own, to); err == nil {
		_, err = unix.Write(own, []byte(header))
	}
	if err == nil {
		err = unix.SetsockoptTimeval(own, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
	}
	if err != nil {
		unix.Close(own)
		return -1, err
	}
	return own, nil
}

// Reopen puts a new stream in the place of one that journald has closed, for the lines
// of this process's unit: a journald that is stopped leaves it to those who write to
// find another, and systemd before 254 keeps none of them for the next one.
func Reopen(fd int, name string) error {
	to := socketOf(fd)
	if to == nil {
		return unix.EPIPE
	}
	own, err := open(to, header(name, cgroupfs.UnitOf("self"), false))
	if err != nil {
		return err
	}
	defer unix.Close(own)
	// As systemd's own (fd_inc_sndbuf in its exec-invoke.c).
	_ = unix.SetsockoptInt(own, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	return unix.Dup3(own, fd, 0)
}

// Settle lets journald read what this process has written while the process is there:
// of one that has ended journald knows the unit only by the word of systemd's that the
// stream began with, which of a user's systemd it does not take.
func Settle() {
	own, _ := Stderr.(*stream)
	own.mu.Lock()
	defer own.mu.Unlock()
	fds := []int{unix.Stdout, unix.Stderr}
	if own.open {
		fds = append(fds, own.fd)
	}
	deadline := time.Now().Add(time.Second)
	for _, fd := range fds {
		if socketOf(fd) == nil {
			continue
		}
		for time.Now().Before(deadline) {
			if waiting, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err != nil || waiting == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	time.Sleep(5 * time.Millisecond) // it looks at the process next
}

// header is what systemd itself begins a stream with (its exec-invoke.c,
// connect_logger_as): the name of the lines, the unit, the priority of lines without
// one, whether lines have one, and no copies to syslog, the kernel's log and the console.
func header(name, unit string, priorities bool) string {
	const info = "30" // LOG_DAEMON|LOG_INFO
	prefix := "0"
	if priorities {
		prefix = "1"
	}
	return name + "\n" + unit + "\n" + info + "\n" + prefix + "\n0\n0\n0\n"
}
