// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"fmt"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/waiting"
)

const resolverSocket = "unitc-resolver.socket"

// resolverTimeout bounds the wait for the socket's job.
const resolverTimeout = scopeTimeout

// awaitResolver lets no payload run before its questions for names have somewhere
// to wait. A container without an answer runs all the same, as one does without
// a way out: who talks to nobody never notices.
func (s *starter) awaitResolver() error {
	if realm.Own() != nil {
		return nil // who keeps the user's networks answers, before there are any
	}
	if !s.network.AsksResolver() || network.ResolverListens() {
		return nil
	}
	// PID 1 has opened them before it reads or answers anything, if it can: at boot it
	// may start a hundred services first.
	if err := s.awaitMainPID(); err != nil {
		return err
	}
	if network.ResolverListens() {
		return nil
	}
	var state string
	var err error
	waiting.While(func() { state, err = awaitSocketUnit(resolverSocket) })
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<4>whether the container's questions for names are answered: %v\n", err)
	} else if state != "active" {
		fmt.Fprintf(journal.Stderr, "<4>nobody answers the container's questions for names: %s is %s; `systemctl status %[1]s` says why\n", resolverSocket, state)
	}
	return nil
}

// awaitSocketUnit gives the state that a unit has when systemd is about to change
// it no longer.
func awaitSocketUnit(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolverTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer m.Close()
	for {
		state, err := m.ActiveState(ctx, name)
		if err != nil || state == "active" {
			return state, err
		}
		changes, err := m.HasJob(ctx, name)
		if err != nil {
			return "", err
		}
		if !changes {
			// The job may have ended between the two questions.
			return m.ActiveState(ctx, name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
