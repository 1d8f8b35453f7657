// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// socket takes entries in systemd's native protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const socket = "/run/systemd/journal/socket"

// HealthID is the MESSAGE_ID of an entry on a container that has become healthy or
// unhealthy. Its writer is in the container's unit, and it is no line of the payload's.
const HealthID = "ba717f12c8554128a9986b8e01c91036"

// Field is one of an entry: its name and its value.
type Field [2]string

// Send writes one entry.
func Send(fields []Field) error {
	var b []byte
	for _, f := range fields {
		b = appendField(b, f)
	}
	return send(b, 0)
}

// Entry is one that is written with little memory, for who stays: of each other size of
// what Go allocates there would be a page or two more.
type Entry []byte

// entryRoom is more than one has of a line's length.
const entryRoom = 1 << 10

// Add adds a field.
func (e *Entry) Add(name, value string) {
	if *e == nil {
		*e = make([]byte, 0, entryRoom)
	}
	*e = appendField(*e, Field{name, value})
}

// Send is Send for who has others waiting: of a journald that takes nothing it thinks no
// more after a second.
func (e Entry) Send() error { return send(e, time.Second) }

func send(b []byte, patience time.Duration) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket for the journal: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(patience.Nanoseconds()) // 0 = none (socket(7))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	for begun := time.Now(); ; {
		err := unix.Sendto(fd, b, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: socket})
		if err == nil {
			return nil
		}
		if err != unix.EINTR || patience > 0 && time.Since(begun) > patience {
			return fmt.Errorf("writing to the journal: %w", err)
		}
	}
}

func appendField(b []byte, f Field) []byte {
	b = append(b, f[0]...)
	if !strings.Contains(f[1], "\n") {
		return append(append(append(b, '='), f[1]...), '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(f[1])))
	return append(append(b, f[1]...), '\n')
}
