// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

const (
	// journalSocket takes entries in systemd's native protocol
	// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
	journalSocket = "/run/systemd/journal/socket"
	// maxFields bounds the fields of a line; journald takes 1024.
	maxFields = 128
	// maxFieldName is journald's, in bytes.
	maxFieldName = 64
	sendBuffer   = 8 << 20
)

// structured sends lines of JSON as entries with fields.
type structured struct {
	fd    int
	to    string // journalSocket
	tag   string
	entry []byte
	gone  time.Time // since when nobody is there; zero = journald is
}

func newStructured(o *order.Order) (*structured, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket for the journal: %w", err)
	}
	// A line is one datagram; the usual buffer takes 200 KiB. Where it may not be
	// raised, larger lines are cut.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	return &structured{fd: fd, to: journalSocket, tag: o.Tag}, nil
}

// run reads lines to the end; one that is too long goes on in the next entry.
func (s *structured) run(read func([]byte) (int, bool), look func([]byte) bool) {
	b := make([]byte, 0, maxLine)
	for {
		n, ok := read(b[len(b):cap(b)])
		if !ok {
			if len(b) > 0 {
				s.line(b)
			}
			s.drain()
			return
		}
		b = b[:len(b)+n]
		for {
			end := bytes.IndexByte(b, '\n') + 1
			if end == 0 && len(b) < cap(b) {
				break
			}
			if end == 0 {
				end = len(b)
			}
			look(b[:end])
			s.line(bytes.TrimRight(b[:end], "\r\n"))
			b = b[:copy(b[:cap(b)], b[end:])]
		}
	}
}

// drain waits until journald has read all of it: it finds the unit behind a
// message by the sender's cgroup, and a sender that is gone has none. What is
// sent counts as ours until it is read (unix(7), SIOCOUTQ). The cgroup is read
// after that, in the same turn of journald's loop: who gets an answer of it then,
// to whatever question, knows that this turn is over.
func (s *structured) drain() {
	const patience = 8 * time.Second // less than the default stop_grace_period
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if left, err := unix.IoctlGetInt(s.fd, unix.SIOCOUTQ); err != nil || left == 0 {
			break
		}
	}
	if !askJournal(patience) {
		time.Sleep(20 * time.Millisecond)
	}
}

// journalService answers by varlink.org's protocol.
var journalService = "/run/systemd/journal/io.systemd.journal"

// askJournal asks journald for its name and tells whether it has answered. A
// version that does not know the question says so, which is as good.
func askJournal(patience time.Duration) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	if unix.Connect(fd, &unix.SockaddrUnix{Name: journalService}) != nil {
		return false
	}
	if _, err := unix.Write(fd, []byte("{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}\x00")); err != nil {
		return false
	}
	for deadline := time.Now().Add(patience); ; {
		var b [16]byte
		n, err := unix.Read(fd, b[:])
		// With SO_RCVTIMEO a signal ends the wait (signal(7)): a check that has ended, say.
		if err != unix.EINTR || time.Now().After(deadline) {
			return err == nil && n > 0
		}
	}
}

// line sends one line.
func (s *structured) line(line []byte) {
	if len(line) == 0 {
		return // as journald does with a stream's
	}
	s.entry = s.entry[:0]
	message, priority := "", -1
	fields := 0
	isObject := object(line, func(key string, value value) bool {
		switch {
		case message == "" && isMessage(key) && value.text:
			message = value.s
		case priority < 0 && isLevel(key) && level(value.s) >= 0:
			priority = level(value.s)
		default:
			if name := fieldName(key); name != "" && fields < maxFields {
				fields++
				s.field(name, value.s)
			}
		}
		return true
	})
	if !isObject {
		s.entry = s.entry[:0]
		message, priority = prefixed(string(line))
	} else if message == "" {
		message = string(line)
	}
	if priority < 0 {
		priority = 6
	}
	if priority == 0 {
		priority = 1 // journald shows emergencies on all terminals
	}
	s.field("MESSAGE", message)
	s.field("PRIORITY", strconv.Itoa(priority))
	s.field("SYSLOG_IDENTIFIER", s.tag)
	s.send()
}

func (s *structured) field(name, value string) {
	b := append(s.entry, name...)
	if strings.IndexByte(value, '\n') < 0 {
		s.entry = append(append(append(b, '='), value...), '\n')
		return
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	s.entry = append(append(b, value...), '\n')
}

// send waits for a journald that restarts, but not for one that is gone, and not for
// each line: a payload must not stand still for its log.
func (s *structured) send() {
	const patience = 5 * time.Second
	for {
		err := unix.Sendto(s.fd, s.entry, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: s.to})
		switch err {
		case unix.EINTR:
			continue
		case unix.ENOENT, unix.ECONNREFUSED:
		default:
			s.gone = time.Time{}
			return
		}
		if s.gone.IsZero() {
			s.gone = time.Now()
		}
		if time.Since(s.gone) > patience {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// prefixed reads the "<3>" of sd-daemon(3).
func prefixed(line string) (string, int) {
	if len(line) > 3 && line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>' {
		return line[3:], int(line[1] - '0')
	}
	return line, -1
}

func isMessage(key string) bool { return key == "message" || key == "msg" || key == "MESSAGE" }

func isLevel(key string) bool {
	switch key {
	case "level", "severity", "lvl", "log.level", "loglevel", "PRIORITY", "priority":
		return true
	}
	return false
}

// levels are the words of the usual loggers (syslog(3), zap, logrus, log4j,
// pino) as syslog's priorities.
var levels = []struct {
	word     string
	priority int
}{
	{"trace", 7}, {"debug", 7}, {"info", 6}, {"information", 6}, {"informational", 6}, {"notice", 5}, {"warn", 4}, {"warning", 4},
	{"err", 3}, {"error", 3}, {"fatal", 2}, {"crit", 2}, {"critical", 2}, {"alert", 1}, {"panic", 0}, {"dpanic", 2}, {"emerg", 0}, {"emergency", 0},
}

// level gives the priority, -1 if the word is none. Numbers are syslog's up to
// 7, those of bunyan and pino from 10 on.
func level(word string) int {
	if n, err := strconv.Atoi(word); err == nil {
		switch {
		case n >= 0 && n <= 7:
			return n
		case n >= 60:
			return 2
		case n >= 50:
			return 3
		case n >= 40:
			return 4
		case n >= 30:
			return 6
		case n >= 10:
			return 7
		}
		return -1
	}
	for _, l := range levels {
		if strings.EqualFold(l.word, word) {
			return l.priority
		}
	}
	return -1
}

// reserved fields mean something to journalctl and to unitc when root writes
// them, as the relay does: a payload could put lines into another unit's log.
var reserved = []string{
	"MESSAGE", "PRIORITY", "UNIT", "USER_UNIT", "INVOCATION_ID", "USER_INVOCATION_ID", "ERRNO", "TID", "SYSLOG_", "OBJECT_", "COREDUMP_",
	"UNITC_", "SYSTEMD_", "JOB_", "CODE_", "DOCUMENTATION", "SESSION_", "MACHINE_", "BOOT_",
}

// fieldName makes a journal field of a key: capitals, digits and underscores,
// "" where nothing is left. What is reserved gets an "X_" in front.
func fieldName(key string) string {
	b := make([]byte, 0, maxFieldName)
	for i := 0; i < len(key) && len(b) < maxFieldName-2; i++ {
		c := key[i]
		switch {
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			c = '_'
		}
		if c == '_' && len(b) == 0 {
			continue // those are journald's own
		}
		b = append(b, c)
	}
	name := string(b)
	if name == "" {
		return ""
	}
	if name[0] >= '0' && name[0] <= '9' {
		return "X_" + name
	}
	for _, r := range reserved {
		if name == strings.TrimSuffix(r, "_") || name == r || strings.HasPrefix(name, r) && (r[len(r)-1] == '_' || name[len(r)] == '_') {
			return "X_" + name
		}
	}
	return name
}
