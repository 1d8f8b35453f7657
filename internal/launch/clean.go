// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/runtime"
)

// cleanTimeout bounds what clean-up asks of systemd.
const cleanTimeout = 10 * time.Second

// ownDirectory is the unit's own, among those that a definition's RuntimeDirectory=
// asks for besides; "" = there is none.
func ownDirectory() string {
	all := os.Getenv("RUNTIME_DIRECTORY")
	for dir := range strings.SplitSeq(all, ":") {
		if strings.HasPrefix(dir, realm.Run+"/") {
			return dir
		}
	}
	return all
}

// Clean is ExecStopPost=: it runs after every kind of death and may run twice.
// Mounts, namespaces and the relay end with their last process; the scope ends
// with its service (BindsTo=). What could outlive a payload is stopped here by
// name, and why the payload ended badly is said in words. Where a sweep comes
// behind it (swept), that takes networks away that nobody is in any more.
func Clean(name string, swept bool) int {
	// stop_grace_period bounds this process too. systemd ends one that is late by
	// the stop signal first, and only after as much time again kills it: until then
	// its word that it needs more has been read, however busy the machine is.
	signal.Ignore(order.StopSignals()...)
	if !swept {
		// It takes longer than all else, and nobody has to wait for it.
		defer func() {
			if err := network.Sweep(); err != nil {
				fmt.Fprintf(journal.Stderr, "<3>clean-up of %s: %v\n", name, err)
			}
		}()
	}
	defer endSession() // last of what is the container's
	dir := ownDirectory()
	if dir == "" {
		dir = realm.StateDir(name)
		defer removeState(dir)
	}
	notify, err := openNotifier()
	if err == nil {
		err = notify.send(extension())
	}
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<4>clean-up of %s: %v\n", name, err)
		notify = &notifier{fd: -1}
	}
	// It needs nothing but the name, and waits for the kernel's grace periods.
	released := make(chan error, 1)
	go func() { released <- network.Release(name) }()
	defer func() {
		if err := <-released; err != nil {
			fmt.Fprintf(journal.Stderr, "<3>clean-up of %s: %v\n", name, err)
		}
	}()
	unnameNetwork(dir)
	p, err := plan.Read(dir)
	if err != nil {
		// A start that ended before it wrote its state leaves nothing but this.
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err = errors.Join(err, releaseImage(name+".service")); err != nil {
			fmt.Fprintf(journal.Stderr, "<4>clean-up of %s: %v\n", name, err)
		}
		postmortem.Report(&plan.Plan{Unit: name + ".service"}, dir, notify.tell)
		return 0
	}
	if p.Runtime != "" {
		if err := deleteContainer(p, dir); err != nil {
			fmt.Fprintf(journal.Stderr, "<4>clean-up of %s: %v\n", name, err)
		}
	} else if err := runtime.PostStop(p.Spec, strings.TrimSuffix(p.Unit, ".service"), cmp.Or(p.Bundle, dir)); err != nil {
		fmt.Fprintf(journal.Stderr, "<4>%v\n", err)
	}
	if p.Root.Kind == plan.RootOverlay || len(p.Images) > 0 {
		if err := releaseImage(p.Unit); err != nil {
			fmt.Fprintf(journal.Stderr, "<4>clean-up of %s: %v\n", name, err)
		}
	}
	postmortem.Report(p, dir, notify.tell)
	if p.Scope == nil {
		return 0
	}
	removeLimits(p.Scope.Name)
	if p.Network != nil && (p.Network.Pasta || realm.Own() != nil) {
		stopPasta(p.Scope.Slice, p.Scope.Name)
	}
	if err := killScope(p.Scope); err != nil {
		fmt.Fprintf(journal.Stderr, "<3>clean-up of %s: %v\n", name, err)
		return 1
	}
	return 0
}

// extension is the time that clean-up has from now on (sd_notify(3)).
func extension() string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (3 * cleanTimeout).Microseconds())
}

// LimitsPath is the drop-in by which the limits of a running scope are changed.
// What lies there goes with a transient unit: systemd removes it (unit_free in
// its src/core/unit.c).
func LimitsPath(scope string) string {
	return realm.Systemd + "/transient/" + scope + ".d/50-unitc.conf"
}

// removeLimits lets the next scope of this name begin with its definition's,
// also where systemd was not told of the file.
func removeLimits(scope string) {
	path := LimitsPath(scope)
	if os.Remove(path) == nil {
		_ = os.Remove(filepath.Dir(path)) // it stays if others have drop-ins in it
	}
}

// killScope ends what is left of a payload with another's PID namespace: its own
// would have ended with the first process. What is left holds the relay's pipe:
// the service would wait for the relay, and the scope's own stop for the
// service (S-8).
func killScope(s *plan.Scope) error {
	if !cgroupsd.Populated(s.Slice, s.Name) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.KillUnit(ctx, s.Name); err != nil {
		return fmt.Errorf("killing what is left in %s: %w", s.Name, err)
	}
	return nil
}
