// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/pump"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
)

// Log goes on for the relay that could not write, as when journald was stopped: it
// finds another stream for what that had read already, and becomes the relay again.
func Log() int {
	signal.Ignore(append(order.StopSignals(), unix.SIGPIPE)...)
	l := journal.Log{Stream: unix.Stdout, Name: logName()}
	b := make([]byte, 128<<10)
	n, err := unix.Pread(pump.Rest, b, 0)
	if err != nil {
		return tell(fmt.Errorf("reading what the relay has left: %w", err))
	}
	unix.Close(pump.Rest)
	// One journald after another may close what it takes.
	time.Sleep(100 * time.Millisecond)
	for {
		if l.Write(b[:n]) {
			_ = unix.Dup3(unix.Stdout, unix.Stderr, 0)
			becomePump()
		}
		for {
			if n, err = unix.Read(0, b); err != unix.EINTR {
				break
			}
		}
		if err != nil || n <= 0 {
			return tell(err)
		}
	}
}

// logName is what the lines of this process's unit are called.
func logName() string {
	name := strings.TrimSuffix(cgroupfs.UnitOf("self"), ".service")
	p, err := plan.Read(realm.StateDir(name))
	if err != nil {
		// A user's: the relay has no environment to say where that is.
		if dir, ok := realm.UsualRun(); ok {
			p, err = plan.Read(dir + "/" + name)
		}
	}
	if err == nil && p.Tag != "" {
		return p.Tag
	}
	return name
}
