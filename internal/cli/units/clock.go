// SPDX-License-Identifier: Apache-2.0

package units

import (
	"time"

	"github.com/unitc/unitc/internal/clock"
)

// Clock is one moment as the clocks of this machine have it. A machine without a
// battery boots with a wall clock of long ago, which is set when the network is there:
// what files and systemd have of before is then of another wall clock.
type Clock struct {
	Wall time.Time
	// Boot counts from the boot on, Monotonic leaves out the time in which the
	// machine was suspended.
	Boot, Monotonic time.Duration
}

// ReadClock is the present moment.
func ReadClock() Clock {
	return Clock{Wall: time.Now(), Boot: clock.Boot(), Monotonic: clock.Monotonic()}
}

// drift is what a wall clock may be off without having been set.
const drift = time.Second

// Shown tells whether the wall clock, had nobody set it, has shown that time in this
// boot.
func (c Clock) Shown(t time.Time) bool {
	return !t.After(c.Wall.Add(drift)) && !t.Before(c.Wall.Add(-c.Boot-drift))
}

// At is a time of this boot by the wall clock as it is now, if that cannot have shown
// it: by the monotonic clock, as it was read then.
func (c Clock) At(t time.Time, monotonic time.Duration) time.Time {
	if c.Shown(t) || monotonic <= 0 || monotonic > c.Monotonic {
		return t
	}
	return c.Wall.Add(monotonic - c.Monotonic)
}
