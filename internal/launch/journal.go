// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// journalSocket takes entries in systemd's native protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const journalSocket = "/run/systemd/journal/socket"

// writeJournal sends one entry.
func writeJournal(fields []field) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket for the journal: %w", err)
	}
	defer unix.Close(fd)
	var b []byte
	for _, f := range fields {
		b = appendField(b, f)
	}
	if err := retry(func() error { return unix.Sendto(fd, b, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: journalSocket}) }); err != nil {
		return fmt.Errorf("writing to the journal: %w", err)
	}
	return nil
}

func appendField(b []byte, f field) []byte {
	b = append(b, f.name...)
	if !strings.Contains(f.value, "\n") {
		return append(append(append(b, '='), f.value...), '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(f.value)))
	return append(append(b, f.value...), '\n')
}
