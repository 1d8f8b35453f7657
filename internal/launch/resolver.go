// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/network"
)

const resolverSocket = "unitc-resolver.socket"

const (
	// resolverPatience is for what PID 1 does in a row with the start of this unit;
	// whoever waits longer asks it.
	resolverPatience = 20 * time.Millisecond
	// resolverTimeout bounds the wait for the socket's job.
	resolverTimeout = scopeTimeout
)

// awaitResolver lets no payload run before its questions for names have somewhere
// to wait. A container without an answer runs all the same, as one does without
// a way out: who talks to nobody never notices.
func (s *starter) awaitResolver() error {
	if !s.network.AsksResolver() {
		return nil
	}
	for pause, deadline := 200*time.Microsecond, time.Now().Add(resolverPatience); ; pause *= 2 {
		if network.ResolverListens() {
			return nil
		}
		if !time.Now().Before(deadline) {
			break
		}
		time.Sleep(pause)
	}
	if state, err := awaitSocketUnit(resolverSocket); err != nil {
		fmt.Fprintf(os.Stderr, "<4>whether the container's questions for names are answered: %v\n", err)
	} else if state != "active" {
		fmt.Fprintf(os.Stderr, "<4>nobody answers the container's questions for names: %s is %s; `systemctl status %[1]s` says why\n", resolverSocket, state)
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
