// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
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

// syncJournal waits until journald has what was sent to it by now.
func syncJournal(ctx context.Context) {
	if realm.Own() == nil {
		_ = exec.CommandContext(ctx, journalctl, "--sync").Run()
		return
	}
	// Only root may ask for that. journald takes entries one by one: what was sent
	// before an empty one, which it passes over, has been read when that has.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(lookTimeout.Nanoseconds())
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	if retry(func() error { return unix.Sendto(fd, nil, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: journalSocket}) }) != nil {
		return
	}
	for deadline := time.Now().Add(lookTimeout); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if unread, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ); err != nil || unread == 0 {
			return
		}
	}
}
