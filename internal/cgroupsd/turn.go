// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"os"
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
	file, err := os.OpenFile(turnFile, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return func() {}
	}
	deadline := time.Now().Add(turnPatience)
	delay := 300 * time.Microsecond
	for ctx.Err() == nil && time.Now().Before(deadline) {
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return func() { file.Close() }
		}
		time.Sleep(delay)
		delay = min(delay*3/2, 8*time.Millisecond)
	}
	file.Close()
	return func() {}
}
