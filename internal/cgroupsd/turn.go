// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// turnFile is locked by the one who talks to PID 1. It sends every signal about
// every unit to every client of its private socket, so a hundred helpers that
// start scopes at once would cost ten thousand messages (bus_foreach_bus in
// systemd's src/core/dbus.c; three times the CPU of the starts themselves).
var turnFile = "/run/unitc/.turn"

// turnPatience bounds the wait for a turn: it saves work and guards nothing, so
// that a helper which is stopped in its turn holds up nobody for long.
const turnPatience = 5 * time.Second

// takeTurn waits for a turn and gives the function that ends it.
func takeTurn(ctx context.Context) (done func()) {
	fd := openTurn()
	deadline := time.Now().Add(turnPatience)
	delay := 300 * time.Microsecond
	for fd >= 0 && ctx.Err() == nil && time.Now().Before(deadline) {
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
			return func() { endTurn(fd) }
		}
		time.Sleep(delay)
		delay = min(delay*3/2, 8*time.Millisecond)
	}
	unix.Close(fd)
	return func() {}
}

// tryTurn is takeTurn for those who have other things to do first.
func tryTurn() (done func(), ok bool) {
	fd := openTurn()
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		unix.Close(fd)
		return nil, false
	}
	return func() { endTurn(fd) }, true
}

func openTurn() int {
	fd, err := unix.Open(turnFile, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1
	}
	return fd
}

// endTurn does not leave it to closing: the payload's first process may have a
// copy of the descriptor.
func endTurn(fd int) {
	_ = unix.Flock(fd, unix.LOCK_UN)
	unix.Close(fd)
}
