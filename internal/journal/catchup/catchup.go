// SPDX-License-Identifier: Apache-2.0

// Package catchup waits until journald has what it was sent, before somebody reads the
// journal.
package catchup

import (
	"context"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

const (
	journalctl = "/usr/bin/journalctl"
	// socket takes entries in systemd's native protocol.
	socket = "/run/systemd/journal/socket"
	// answerPatience is how long journald may take to answer, as it does at once unless
	// others' lines keep it busy: it answers last of all (its Synchronize() waits at the
	// lowest priority).
	answerPatience = time.Second
	// rounds bounds how many turns a stream of lines gets then. In each turn journald
	// reads at least one piece of it, and each piece may be twice the one before.
	rounds = 64
)

// Wait waits until journald has what was sent to it by now, and tells whether it has, as
// far as can be known. Who may not ask is told true: they see what there is.
func Wait(ctx context.Context) bool {
	if realm.Own() != nil {
		return takeTurns(ctx, 1) // only root may ask
	}
	if !busy.Load() {
		soon, cancel := context.WithTimeout(ctx, answerPatience)
		defer cancel()
		if err := exec.CommandContext(soon, journalctl, "--sync").Run(); err == nil || soon.Err() == nil {
			return true
		}
		busy.Store(true)
	}
	return takeTurns(ctx, rounds)
}

// busy is a journald that did not answer this process soon, and is not asked again.
var busy atomic.Bool

// takeTurns sends empty entries, one when the one before has been read. journald passes
// them over, and takes from all that have something for it in turns: whoever had
// before has had a turn by then.
func takeTurns(ctx context.Context, n int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for range n {
		sent := func() bool {
			err := unix.Sendto(fd, nil, unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: socket})
			return err == nil || err != unix.EAGAIN && err != unix.EINTR // there is none that could be waited for
		}
		if !await(ctx, sent) || !await(ctx, func() bool {
			unread, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			return err != nil || unread == 0
		}) {
			return false
		}
	}
	return true
}

// await looks until it is so, or there is no more time.
func await(ctx context.Context, isSo func() bool) bool {
	for !isSo() {
		if ctx.Err() != nil {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}
