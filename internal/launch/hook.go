// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
)

// Variables that tests set on a unit. Each names a step of the launch before
// which the helper ends as no clean-up code survives it, or stops until
// SIGCONT: a start that is killed anywhere must leave nothing behind.
const (
	killAt  = "UNITC_STOP_AT"
	pauseAt = "UNITC_PAUSE_AT"
)

func reach(step string) {
	for name, signal := range map[string]unix.Signal{killAt: unix.SIGKILL, pauseAt: unix.SIGSTOP} {
		if os.Getenv(name) == step {
			fmt.Fprintf(journal.Stderr, "<7>%s: %s\n", name, step)
			os.Unsetenv(name) // seal-helper starts the helper once more
			// To this thread: a stop of another one takes effect here too late.
			_ = unix.Tgkill(os.Getpid(), unix.Gettid(), signal)
		}
	}
}

// Steps lists the helper's own steps by name, those of a launch by another
// runtime if foreign; what is inside of prepare-runtime and of the payload's
// first process are the runtime's (runtime.Describe).
func Steps(foreign bool) []string {
	between := ownSteps
	if foreign {
		between = foreignSteps
	}
	var names []string
	for _, s := range slices.Concat(firstSteps, between, lastSteps) {
		names = append(names, s.name)
	}
	return names
}
