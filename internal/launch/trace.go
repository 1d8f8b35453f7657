// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/runtime"
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

// end is the end of the last part, where there are no steps.
func (w *stopwatch) end() {
	if !w.on || w.parts == nil {
		return
	}
	w.mark("")
	for _, p := range w.parts[:len(w.parts)-1] {
		p.name = "  network: " + p.name
		w.rows = append(w.rows, p)
	}
	w.parts = nil
}

func (w *stopwatch) print() {
	for _, r := range w.rows {
		fmt.Fprintf(journal.Stderr, "<7>helper %-26s %6d µs %6d µs of CPU%s\n", r.name, r.wall.Microseconds(), r.cpu.Microseconds(), reason(r.name))
	}
	w.rows = nil
}

// reason is what a step is for, as the end of its line.
func reason(step string) string {
	step = strings.TrimSpace(step)
	text := purposes[step]
	if text == "" {
		text = runtime.Reason(step)
	}
	if text == "" {
		return ""
	}
	return " : " + text
}

// purposes are those of the helper's own steps (start.go).
var purposes = map[string]string{
	"read-definition":     "what the generator has resolved, beside the unit",
	"seal-helper":         "a payload with the host's ids must not write to this program (CVE-2019-5736)",
	"call-systemd":        "it answers while the plan is made",
	"open-session":        "who waits for this container hears of every fault from here on",
	"build-plan":          "the definition and facts of this host become a plan",
	"begin-namespaces":    "they are made while the rest is prepared",
	"read-secrets":        "while they can be read: the payload gets them in memory",
	"write-state":         "for the clean-up, and for who asks while it runs",
	"bind-notify-socket":  "the payload's messages to systemd go through a filter",
	"bind-attach-socket":  "for those who join the payload's streams",
	"claim-network":       "its addresses, before anything is made with them",
	"open-logs":           "where the payload's output goes",
	"prepare-cgroup":      "the cgroup to be born in",
	"clone-payload":       "the payload's first process, in its namespaces",
	"send-mainpid":        "while the child is still in the service's cgroup",
	"request-scope":       "systemd makes it while the rest is prepared",
	"prepare-runtime":     "everything that comes from the host is opened",
	"start-payload":       "the child has its program, and goes to its gate",
	"run-hooks":           "hooks of the configuration, and devices that are moved",
	"start-scope":         "systemd has been asked for the payload's cgroup, with its limits",
	"connect-network":     "while systemd makes the scope",
	"await-resolver":      "the payload may ask for names at once",
	"join-scope":          "the child is moved before it sees its cgroup namespace",
	"start-pasta":         "for networks without privilege",
	"load-nftables":       "the interfaces are there, and nothing of the payload's runs",
	"ignore-stop-signals": "a stop that comes later reaches the payload itself",
	"release-payload":     "the child goes on with its last steps",
	"await-exec":          "a fault of the child's is this helper's",
	"post-start-hooks":    "the payload is there, and held",
	"prepare-relay":       "while the payload is held",
	"send-ready":          "the unit is active, and the payload runs",
	"tell-session":        "who waits for this container is told",
	"become-relay":        "this process becomes the relay, where there is one",
}

func processCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
