// SPDX-License-Identifier: Apache-2.0

package units

import (
	"testing"
	"time"
)

// A machine that has run for two hours, one of which it was suspended.
func TestTimesOfAClockThatWasSet(t *testing.T) {
	wall := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := Clock{Wall: wall, Boot: 2 * time.Hour, Monotonic: time.Hour}
	for _, tc := range []struct {
		name      string
		told      time.Time
		monotonic time.Duration
		want      time.Time
	}{
		{"nobody has set it", wall.Add(-90 * time.Minute), 30 * time.Minute, wall.Add(-90 * time.Minute)},
		{"at the boot", wall.Add(-2 * time.Hour), time.Second, wall.Add(-2 * time.Hour)},
		{"just now", wall.Add(time.Millisecond), time.Hour, wall.Add(time.Millisecond)},
		{"booted in 1970", time.Unix(20, 0), 20 * time.Minute, wall.Add(-40 * time.Minute)},
		{"set back since", wall.Add(time.Minute), 59 * time.Minute, wall.Add(-time.Minute)},
		{"the monotonic time is not known", time.Unix(20, 0), 0, time.Unix(20, 0)},
		{"of another boot", time.Unix(20, 0), 3 * time.Hour, time.Unix(20, 0)},
	} {
		if got := c.At(tc.told, tc.monotonic); !got.Equal(tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
