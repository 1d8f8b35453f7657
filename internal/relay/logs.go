// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"fmt"
	"regexp"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/relay/order"
)

// chunk is what is moved at once, the size of the pipe that the helper makes.
const chunk = 1 << 18

// maxLine bounds a line that is looked at, in bytes: journald's own LineMax=.
const maxLine = 48 << 10

// logCopy moves the payload's output to the journal, on a thread of its own: it
// may wait for journald while probes go on.
type logCopy struct {
	wake     int // a byte: the expression has matched; end-of-file: the log's end
	tell     int
	pattern  *regexp.Regexp
	match    atomic.Bool
	terminal bool      // what is read is one
	drop     bool      // nothing is kept
	audience *audience // gets all of it too; nil = nobody can
	held     bool      // a carriage return that a line feed may follow
	journal  journal.Log
}

func startLog(o *order.Order, a *audience) (*logCopy, error) {
	l := &logCopy{wake: -1, terminal: o.Terminal, drop: o.Log == order.LogDrop, journal: journal.Log{Stream: order.Journal, Name: o.Tag}}
	if o.Attach {
		l.audience = a
	}
	if o.Log == order.LogNone {
		return l, nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	l.wake, l.tell = pipe[0], pipe[1]
	if o.Probe == order.ProbeLog {
		var err error
		if l.pattern, err = regexp.Compile(o.Target); err != nil {
			return nil, err
		}
	}
	run := l.run
	if o.Log == order.LogJSON {
		s, err := newStructured(o)
		if err != nil {
			return nil, err
		}
		run = func() { s.run(l.read, l.look) }
	}
	if o.Terminal {
		if err := l.holdTerminal(); err != nil {
			return nil, err
		}
	}
	go func() {
		run()
		unix.Close(l.tell)
	}()
	return l, nil
}

func (l *logCopy) ended() bool   { return l.wake < 0 }
func (l *logCopy) matched() bool { return l.match.Load() }

func (l *logCopy) close() {
	unix.Close(l.wake)
	l.wake = -1
}

func (l *logCopy) run() {
	if l.pattern != nil {
		l.watch()
	}
	if l.terminal || l.audience != nil {
		l.copy()
		return
	}
	for {
		n, err := unix.Splice(order.Logs, nil, order.Journal, nil, chunk, unix.SPLICE_F_MOVE)
		switch {
		case err == unix.EINTR:
		case err != nil:
			// Not a pipe or a socket that can be spliced, or journald is gone.
			l.copy()
			return
		case n == 0:
			return
		}
	}
}

// copy reads and writes. Without a journal it only reads: a payload must not
// die of a log that nobody keeps.
func (l *logCopy) copy() {
	b := make([]byte, 32<<10)
	for {
		n, ok := l.read(b)
		if !ok {
			return
		}
		l.write(b[:n])
	}
}

// watch copies, and looks at each line until one matches.
func (l *logCopy) watch() {
	b := make([]byte, 0, maxLine)
	for {
		n, ok := l.read(b[len(b):cap(b)])
		if !ok {
			l.look(b)
			return
		}
		l.write(b[len(b) : len(b)+n])
		b = b[:len(b)+n]
		end := bytes.LastIndexByte(b, '\n') + 1
		if end == 0 && len(b) == cap(b) {
			end = len(b)
		}
		if l.look(b[:end]) {
			return
		}
		b = b[:copy(b[:cap(b)], b[end:])]
	}
}

// look tells whether the expression has matched, now or before.
func (l *logCopy) look(text []byte) bool {
	if l.pattern == nil || l.matched() {
		return true
	}
	for line := range bytes.Lines(text) {
		if l.pattern.Match(bytes.TrimRight(line, "\r\n")) {
			l.match.Store(true)
			_, _ = unix.Write(l.tell, []byte{1})
			return true
		}
	}
	return false
}

// read waits for output, and passes it on to those who have joined.
func (l *logCopy) read(b []byte) (int, bool) {
	for {
		n, err := unix.Read(order.Logs, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && l.terminal && awaitTerminal():
			continue
		}
		if err != nil || n <= 0 {
			return 0, false
		}
		if l.audience != nil {
			l.audience.tell(b[:n])
		}
		return n, true
	}
}

// write files what was read. A terminal ends its lines with a carriage return
// and a line feed, the journal with the latter.
func (l *logCopy) write(b []byte) {
	switch {
	case l.drop:
	case !l.terminal:
		l.journal.Write(b)
	default:
		l.journal.Write(l.unixLines(b))
	}
}

// unixLines drops each carriage return in front of a line feed.
func (l *logCopy) unixLines(b []byte) []byte {
	out := make([]byte, 0, len(b)+1)
	for _, c := range b {
		if l.held && c != '\n' {
			out = append(out, '\r')
		}
		if l.held = c == '\r'; !l.held {
			out = append(out, c)
		}
	}
	return out
}
