// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/postmortem"
	"github.com/unitc/unitc/internal/realm"
)

// askTimeout bounds what is asked of systemd for it.
const askTimeout = 3 * time.Second

// reportFormer has a failure looked into after which systemd has started the
// service again. It is on no start's way: the payload runs by now.
func (s *starter) reportFormer() error {
	if s.service.LeavesTraces() || os.Getenv("RUNTIME_DIRECTORY") == "" || !restartsItself(s.service) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	err := cgroupsd.StartAfterRestart(ctx, s.plan.Unit, postmortem.Unit)
	if realm.Own() != nil && cgroupsd.IsNotLoaded(err) {
		return nil // without it the generator has given the unit clean-up
	}
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<4>asking why %s failed before: %v\n", s.plan.Unit, err)
	}
	return nil
}

// restartsItself tells whether systemd may start it again after an end.
func restartsItself(s *definition.Service) bool {
	switch s.Restart.Policy {
	case definition.RestartAlways, definition.RestartUnlessStopped, definition.RestartOnFailure:
		return true
	}
	return slices.ContainsFunc(s.System.Service, func(d definition.Directive) bool { return d.Name == "Restart" })
}
