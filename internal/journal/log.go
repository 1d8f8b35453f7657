// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Log passes a payload's lines on to a stream of journald's, and to another one when
// that is closed.
type Log struct {
	Stream int    // descriptor
	Name   string // of the lines
	// lost counts the bytes that nobody took since the time.
	lost  int
	since time.Time
}

// absence is how long a payload's lines wait for a journald that is not there. Who
// stops it for longer does without them: a payload that cannot write stands still.
const absence = 5 * time.Second

// Write passes all of b on, and tells whether that could be done. What cannot be
// passed on is lost, as it is for any service.
func (l *Log) Write(b []byte) bool {
	for {
		n, err := unix.Write(l.Stream, b)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil:
			l.since = time.Time{}
			if b = b[n:]; len(b) == 0 {
				return true
			}
			continue
		}
		if l.since.IsZero() {
			l.since = time.Now()
		}
		if err = Reopen(l.Stream, l.Name); err == nil {
			l.tell()
			continue
		}
		if err == unix.EPIPE || time.Since(l.since) > absence {
			l.lost += len(b)
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// tell says in the log what is missing there.
func (l *Log) tell() {
	if l.lost == 0 {
		return
	}
	s := &stream{}
	s.fd, s.open = connect(l.Stream), true
	fmt.Fprintf(s, "<4>there was no journald for %v: %d bytes of the log are lost\n", time.Since(l.since).Round(time.Second), l.lost)
	if s.fd != l.Stream {
		unix.Close(s.fd)
	}
	l.lost = 0
}
