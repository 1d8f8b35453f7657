// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// Jobs starts units and waits for them, over systemd's private socket.
type Jobs struct{ *line }

// ConnectJobs opens the private socket, which tells of jobs without being asked
// to tell of everything (S-11).
func ConnectJobs(ctx context.Context) (*Jobs, error) {
	l := &line{ctx: ctx, dial: openPrivate}
	if _, err := l.get(); err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	return &Jobs{l}, nil
}

// Start ends with its job.
func (m *Jobs) Start(ctx context.Context, unit string) error {
	return m.job(ctx, unit, (*dbus.Conn).StartUnitContext)
}

// Restart ends with its job.
func (m *Jobs) Restart(ctx context.Context, unit string) error {
	return m.job(ctx, unit, (*dbus.Conn).RestartUnitContext)
}

// RestartAll restarts what runs, and what is unsteady in any case, all at once, and ends
// with the last of their jobs.
func (m *Jobs) RestartAll(ctx context.Context, units, unsteady []string) error {
	ends := make(chan error)
	for _, unit := range units {
		call := (*dbus.Conn).TryRestartUnitContext
		if slices.Contains(unsteady, unit) {
			call = (*dbus.Conn).RestartUnitContext
		}
		go func() { ends <- m.job(ctx, unit, call) }()
	}
	var errs []error
	for range units {
		errs = append(errs, <-ends)
	}
	return errors.Join(errs...)
}

// pollTime is how often a unit is looked at that may never be done: with
// Restart= a start that fails goes on in the same job.
const pollTime = 200 * time.Millisecond

func (m *Jobs) job(ctx context.Context, unit string, call func(*dbus.Conn, context.Context, string, string, chan<- string) (int, error)) error {
	// A way there and back must not be stopped by the start limit, nor be judged
	// by restarts of long ago.
	var refused godbus.Error
	err := do(ctx, m.line, func(conn *dbus.Conn) error { return conn.ResetFailedUnitContext(ctx, unit) })
	if err != nil && !(errors.As(err, &refused) && refused.Name == "org.freedesktop.systemd1.NoSuchUnit") {
		return fmt.Errorf("resetting %s: %w", unit, err)
	}
	done := make(chan string, 1)
	told := 0 // the connection that is told how the job ends
	err = do(ctx, m.line, func(conn *dbus.Conn) error {
		told = m.opened()
		_, err := call(conn, ctx, unit, "replace", done)
		return err
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", unit, err)
	}
	// What ends again and again may have been started once more before there was the job.
	before, _ := m.number(ctx, unit, "NRestarts")
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case result := <-done:
			if result != "done" && result != "skipped" {
				return fmt.Errorf("%s: its start ends with %q%s", unit, result, m.why(ctx, unit))
			}
			return nil
		case <-tick.C:
			n, err := m.number(ctx, unit, "NRestarts")
			if isLost(err) && ctx.Err() == nil {
				return fmt.Errorf("asking about %s: %w", unit, err)
			}
			if n > before {
				return fmt.Errorf("%s: it does not start%s", unit, m.why(ctx, unit))
			}
			if m.opened() != told && !m.hasJob(ctx, unit) {
				return m.ended(ctx, unit)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitJobs ends when none of these units is on its way. What systemd starts again and
// again, which is one job, may always be.
func (m *Jobs) AwaitJobs(ctx context.Context, units []string) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	underway := func(unit string) bool {
		restarts, err := m.number(ctx, unit, "NRestarts")
		return err == nil && restarts == 0 && m.hasJob(ctx, unit)
	}
	for slices.ContainsFunc(units, underway) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Stopping tells whether the system, or the user's systemd, is on its way down: what
// ends then says nothing of itself, and nothing starts any more.
func (m *Jobs) Stopping(ctx context.Context) bool {
	// As D-Bus writes values.
	state, err := ask(ctx, m.line, func(conn *dbus.Conn) (string, error) { return conn.GetManagerProperty("SystemState") })
	return err == nil && state == `"stopping"`
}

// hasJob tells whether a unit is on its way.
func (m *Jobs) hasJob(ctx context.Context, unit string) bool {
	p, err := m.GetUnitPropertyContext(ctx, unit, "Job")
	if err != nil {
		return true // the next look asks again
	}
	job, _ := p.Value.Value().([]any)
	if len(job) == 0 {
		return false
	}
	id, _ := job[0].(uint32)
	return id != 0
}

// ended is how a job has ended of which nobody told.
func (m *Jobs) ended(ctx context.Context, unit string) error {
	state, err := m.state(ctx, unit)
	if err == nil && state == "failed" {
		err = fmt.Errorf("%s: its start failed%s", unit, m.why(ctx, unit))
	}
	return err
}

// why is what the unit says of itself.
func (m *Jobs) why(ctx context.Context, unit string) string {
	p, err := m.GetUnitTypePropertyContext(ctx, unit, "Service", "StatusText")
	if err != nil {
		return ""
	}
	if text, _ := p.Value.Value().(string); text != "" {
		return ": " + text
	}
	return ""
}

func (m *Jobs) number(ctx context.Context, unit, name string) (uint32, error) {
	p, err := m.GetUnitTypePropertyContext(ctx, unit, "Service", name)
	if err != nil {
		return 0, err
	}
	n, _ := p.Value.Value().(uint32)
	return n, nil
}

// Watch polls: whether a unit that is up stays up is known only by waiting. One that
// is on its way down in the end is waited for: systemd says only then how it ended.
// Ended are those that have ended well and that nothing starts again.
func (m *Jobs) Watch(ctx context.Context, units []string, settle time.Duration) (ended []string, err error) {
	deadline := time.NewTimer(settle)
	defer deadline.Stop()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for last := false; ; {
		ended = nil
		ending := false
		for _, unit := range units {
			state, err := m.look(ctx, unit)
			if err != nil {
				return nil, err
			}
			ending = ending || state == "deactivating"
			if state == "inactive" {
				ended = append(ended, unit)
			}
		}
		if last && !ending {
			return ended, nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			last = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look gives an error for a unit that has not stayed up. What is to run again has
// not either, however it ended: systemd waits before it starts it (RestartSec=), and
// counts it only then.
func (m *Jobs) look(ctx context.Context, unit string) (state string, err error) {
	if state, err = m.state(ctx, unit); err != nil {
		return "", err
	}
	restarts, err := m.number(ctx, unit, "NRestarts")
	if err != nil {
		return "", fmt.Errorf("asking about %s: %w", unit, err)
	}
	if state == "failed" || restarts > 0 || state == "activating" && m.waitsForRestart(ctx, unit) {
		return "", fmt.Errorf("%s: it started and did not stay up%s", unit, m.why(ctx, unit))
	}
	return state, nil
}

func (m *Jobs) waitsForRestart(ctx context.Context, unit string) bool {
	p, err := m.GetUnitPropertyContext(ctx, unit, "SubState")
	if err != nil {
		return false // the next look asks again
	}
	state, _ := p.Value.Value().(string)
	return strings.HasPrefix(state, "auto-restart")
}

func (m *Jobs) state(ctx context.Context, unit string) (string, error) {
	p, err := m.GetUnitPropertyContext(ctx, unit, "ActiveState")
	if err != nil {
		return "", fmt.Errorf("asking about %s: %w", unit, err)
	}
	state, _ := p.Value.Value().(string)
	return state, nil
}

// IsActive tells whether a unit runs or is on its way up.
func (m *Jobs) IsActive(ctx context.Context, unit string) (bool, error) {
	state, err := m.state(ctx, unit)
	return state == "active" || state == "activating" || state == "reloading", err
}

// Dependents follows the dependencies by which a stop travels. Scopes hold
// payloads; nobody can start them.
func (m *Jobs) Dependents(ctx context.Context, units []string) ([]string, error) {
	seen := slices.Clone(units)
	var found []string
	for i := 0; i < len(seen); i++ {
		for _, relation := range []string{"RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf"} {
			p, err := m.GetUnitPropertyContext(ctx, seen[i], relation)
			if err != nil {
				return nil, fmt.Errorf("asking who needs %s: %w", seen[i], err)
			}
			names, _ := p.Value.Value().([]string)
			for _, name := range names {
				if strings.HasSuffix(name, ".scope") || slices.Contains(seen, name) {
					continue
				}
				active, err := m.IsActive(ctx, name)
				if err != nil {
					return nil, err
				}
				if active {
					seen, found = append(seen, name), append(found, name)
				}
			}
		}
	}
	return found, nil
}
