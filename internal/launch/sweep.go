// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"

	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/store"
)

// SweepVerb has the helper sweep, and PostMortemVerb say why containers have failed.
const SweepVerb, PostMortemVerb = "sweep", "postmortem"

// Sweep takes away what containers have left that have ended: addresses, ports and
// records of networks, what they wrote, their notes that images are in use. It is
// for those whose units have no clean-up of their own, and for networks that the
// last container has left. systemd starts it whenever
// one of them becomes inactive or fails, one process for all that end meanwhile,
// and it looks for all: what a sweep that was killed has left is the next one's.
func Sweep() int {
	err := beginSweep()
	if err == nil {
		err = sweep()
	}
	return tell(err)
}

// sweepUser is Sweep for a user who is not in their namespace, which is made only where
// something of other ids is left: it takes longer than all else.
func sweepUser(u *realm.User, self string) int {
	if err := beginSweep(); err != nil {
		return tell(err)
	}
	if sweep() == nil {
		return 0
	}
	child, err := enter.Fork(u, []string{self, SweepVerb}, enter.Options{})
	if err != nil {
		return enterFailed(nil, err)
	}
	defer child.Close()
	return awaitEntered(child)
}

func sweep() error {
	// Each waits for something else: the one for the kernel's grace periods.
	released := make(chan error, 1)
	go func() { released <- network.ReleaseOver(isOver) }()
	st, err := store.Open("")
	if err == nil {
		err = st.Sweep()
	}
	return errors.Join(err, <-released)
}

// beginSweep has systemd take this process for one that is stopping. It would hold
// a start of what is starting or runs for done; one that is asked for while a unit
// stops it keeps, and starts it again then. So all who have ended before it has read
// that word are found, and for each that ends behind it there is another sweep.
func beginSweep() error {
	notify, err := openNotifier()
	if err != nil {
		return err
	}
	if err := notify.send("READY=1"); err != nil {
		return err
	}
	if err := notify.send("STOPPING=1"); err != nil {
		return err
	}
	return notify.barrierFor(statePatience)
}

func isOver(container, id string) bool { return invocation.IsOver(container+".service", id) }
