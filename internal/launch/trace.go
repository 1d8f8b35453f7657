// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stopwatch takes the time of each step where UNITC_TRACE=1 asks for it: what
// the clock says and what this process used (getrusage(2), with all of its
// kernel time and what systemd's executor used of the process before).
type stopwatch struct {
	on    bool
	rows  []stepTime
	parts []stepTime // of the step that runs
	since time.Time
	used  time.Duration
}

type stepTime struct {
	name      string
	wall, cpu time.Duration
}

func newStopwatch() *stopwatch {
	w := &stopwatch{on: os.Getenv("UNITC_TRACE") == "1"}
	if w.on {
		w.rows = append(w.rows, stepTime{"(before main)", 0, processCPU()})
	}
	return w
}

// time runs a step.
func (w *stopwatch) time(name string, do func() error) error {
	if !w.on {
		return do()
	}
	start, cpu := time.Now(), processCPU()
	err := do()
	if w.parts != nil {
		w.mark("")
		for _, p := range w.parts[:len(w.parts)-1] {
			w.rows = append(w.rows, stepTime{"  " + p.name, p.wall, p.cpu})
		}
		w.parts = nil
	}
	w.rows = append(w.rows, stepTime{name, time.Since(start), processCPU() - cpu})
	return err
}

// mark names what runs from here to the next mark within the step.
func (w *stopwatch) mark(name string) {
	if !w.on {
		return
	}
	now, cpu := time.Now(), processCPU()
	if n := len(w.parts); n > 0 {
		last := &w.parts[n-1]
		last.wall, last.cpu = now.Sub(w.since), cpu-w.used
	}
	w.since, w.used = now, cpu
	w.parts = append(w.parts, stepTime{name: name})
}

func (w *stopwatch) print() {
	for _, r := range w.rows {
		fmt.Fprintf(os.Stderr, "<7>helper %-26s %6d µs %6d µs of CPU\n", r.name, r.wall.Microseconds(), r.cpu.Microseconds())
	}
	w.rows = nil
}

func processCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
