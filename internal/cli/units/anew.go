// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/clock"
	"github.com/unitc/unitc/internal/realm"
)

// privateSocket is bound anew by each systemd that is executed (bus_init_private
// in systemd's src/core/dbus.c).
func privateSocket() string { return realm.Systemd + "/private" }

// Moment is one of a systemd, which may not be the same later.
type Moment struct {
	socket fs.FileInfo
	// At is of the monotonic clock.
	At time.Duration
}

// Now is the moment before something is asked of systemd.
func Now() Moment {
	socket, _ := os.Stat(privateSocket()) // without it nothing is known
	return Moment{socket: socket, At: clock.Monotonic()}
}

// BegunAnew waits for a systemd that is beginning anew, and tells whether it has
// since.
func (m Moment) BegunAnew() bool {
	if m.socket == nil {
		return false
	}
	for deadline := time.Now().Add(cgroupsd.AnewPatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", privateSocket())
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
			break // who may not ask is told so by one who listens, too
		}
		if realm.Own() != nil && !cgroupsd.UserRuns() {
			break // a user's may have ended
		}
	}
	now, err := os.Stat(privateSocket())
	return err == nil && !os.SameFile(m.socket, now)
}

// Progress is how far a unit has come since a moment.
type Progress int

// Its values.
const (
	Untouched Progress = iota // nothing has been done with it
	Queued                    // systemd has a job for it
	Underway                  // it is on its way
	Over                      // it runs, or ran and has ended well
	Broken                    // its start, or what it ran, has failed
)

// ProgressOf is that of a unit whose start was asked for.
func ProgressOf(ctx context.Context, bus Bus, unit string, since Moment) (Progress, error) {
	var err error
	ask := func(name string) any {
		if err != nil {
			return nil
		}
		p, askErr := bus.GetUnitPropertyContext(ctx, unit, name)
		if err = askErr; err != nil {
			return nil
		}
		return p.Value.Value()
	}
	after := func(name string) bool { return time.Duration(number(ask(name)))*time.Microsecond >= since.At }
	job, _ := ask("Job").([]any)
	state, _ := ask("ActiveState").(string)
	begun, ended := after("InactiveExitTimestampMonotonic"), after("InactiveEnterTimestampMonotonic")
	hasJob := len(job) > 0 && number(job[0]) != 0
	switch {
	case err != nil:
		return Untouched, err
	case hasJob:
		return Queued, nil
	case state == "failed" && ended:
		return Broken, nil
	case begun && state != "activating" && state != "failed":
		return Over, nil
	case begun || ended:
		return Underway, nil
	}
	return Untouched, nil
}
