// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// socket takes entries in systemd's native protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const socket = "/run/systemd/journal/socket"

// Field is one of an entry: its name and its value.
type Field [2]string

// Send writes one entry.
func Send(fields []Field) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket for the journal: %w", err)
	}
	defer unix.Close(fd)
	var b []byte
	for _, f := range fields {
		b = appendField(b, f)
	}
	for {
		err := unix.Sendto(fd, b, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: socket})
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
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
