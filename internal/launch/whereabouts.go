// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/waiting"
)

// whereabouts is where a start is, for one that takes long: what it waits for is
// somebody else's, and nobody could see what.
type whereabouts struct {
	step    atomic.Pointer[string]
	network atomic.Pointer[string] // of what runs beside the steps
	child   atomic.Pointer[program.Child]

	mu    sync.Mutex
	begun time.Time
	over  bool
	told  string
}

// begin has all who wait tell.
func (w *whereabouts) begin(n *notifier) {
	w.begun = time.Now()
	waiting.Tell = func() { w.say(n) }
}

// end is before READY=1, or before it is said what has failed.
func (w *whereabouts) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// say tells systemd each time, and the journal once of each place.
func (w *whereabouts) say(n *notifier) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	at, since := w.describe(), time.Since(w.begun).Round(time.Second)
	_ = n.send(status(fmt.Sprintf("starting for %v, %s", since, at)))
	if at != w.told {
		w.told = at
		fmt.Fprintf(journal.Stderr, "<4>%s%s after %v\n", postmortem.SlowStart, at, since)
	}
}

func (w *whereabouts) describe() string {
	text := "at " + *w.step.Load()
	if why := reason(*w.step.Load()); why != "" {
		text += " (" + strings.TrimPrefix(why, " : ") + ")"
	}
	if child := w.child.Load(); child != nil {
		text += ", its first process at " + child.Doing()
	}
	if step := w.network.Load(); step != nil && *step != "" {
		text += ", its network at " + *step
	}
	return text
}
