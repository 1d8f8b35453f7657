// SPDX-License-Identifier: Apache-2.0

// Package clock reads the clock that nobody sets.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is the present time of CLOCK_MONOTONIC (clock_gettime(2)), which systemd and
// journald have beside the wall clock's: it counts from the boot on, without the time in
// which the machine was suspended.
func Monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC) }

// Boot is that of CLOCK_BOOTTIME, which counts that time too.
func Boot() time.Duration { return read(unix.CLOCK_BOOTTIME) }

func read(id int32) time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(id, &now) // it cannot fail: every kernel has both
	return time.Duration(now.Nano())
}
