// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/unitfile"
)

const (
	// The kernel cuts a record at 1024 bytes less its prefix (LOG_LINE_MAX).
	maxLogLine = 900
	// MaxLogLines: its ring is small and not ours alone; all problems stand in the
	// units.
	MaxLogLines = 50
)

// Log is the kernel's log, the only channel there is for a generator (G-4), or
// standard error where there is none, as in many containers. The zero value is
// ready for use.
type Log struct {
	fd     int
	prefix func(level int) string
	lines  int
}

// open opens the kernel log without waiting: in a container /dev/kmsg may be a
// FIFO. Mostly there is nothing to say, and it is not opened.
func (l *Log) open() {
	fd, err := unix.Open("/dev/kmsg", unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.fd, l.prefix = 2, func(int) string { return "unitc-generator: " }
		return
	}
	pid := unix.Getpid()
	l.fd, l.prefix = fd, func(level int) string { return fmt.Sprintf("<%d>unitc-generator[%d]: ", level, pid) }
}

// Levels of syslog(3), in the daemon facility as journald expects of others
// than the kernel.
const (
	levelError   = 3<<3 | 3
	levelWarning = 3<<3 | 4
)

// Problem logs one problem as one line.
func (l *Log) Problem(p diag.Problem) {
	level := levelError
	if p.Severity == diag.Warning {
		level = levelWarning
	}
	l.line(level, p.String())
}

// Error logs what kept the generator from its work.
func (l *Log) Error(err error) { l.line(levelError, err.Error()) }

func (l *Log) line(level int, text string) {
	if l.prefix == nil {
		l.open()
	}
	l.lines++
	switch {
	case l.lines == MaxLogLines:
		text = "more problems are not logged here; `unitc check` shows all"
	case l.lines > MaxLogLines:
		return
	}
	text = l.prefix(level) + unitfile.Printable(text)
	if len(text) > maxLogLine {
		text = strings.ToValidUTF8(text[:maxLogLine], "") + "…"
	}
	for {
		// Each write is one record.
		_, err := unix.Write(l.fd, []byte(text+"\n"))
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
