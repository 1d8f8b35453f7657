// SPDX-License-Identifier: Apache-2.0

// Package cgroupsd is the only door to systemd over D-Bus, and the only place
// that makes cgroups: it starts the delegated transient scope of a launch,
// prepares the payload's leaf below it and reads unit properties back. It
// writes only below a delegated cgroup (C-2) and asks systemd for all else.
package cgroupsd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/busvalue"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/waiting"
)

// Errors of systemd's manager that a start knows how to answer.
const (
	errUnitExists      = "org.freedesktop.systemd1.UnitExists"
	errNoSuchUnit      = "org.freedesktop.systemd1.NoSuchUnit"
	errUnknownProperty = "org.freedesktop.DBus.Error.UnknownProperty"
	errReadOnly        = "org.freedesktop.DBus.Error.PropertyReadOnly"
)

// property is one element of StartTransientUnit's a(sv).
type property struct {
	Name  string
	Value any
}

// variantProperty is property as godbus takes it.
type variantProperty struct {
	Name  string
	Value dbus.Variant
}

// auxUnit is an element of its a(sa(sv)), which is always empty.
type auxUnit struct {
	Name       string
	Properties []variantProperty
}

// StartScope asks systemd to make the scope around pid. It returns when the
// request is queued: PID 1 then moves the process, which AwaitScope sees.
//
// A scope of an earlier start that is still going away is waited for (S-6), a
// failed one is reset (S-7).
func StartScope(ctx context.Context, s *plan.Scope, pid int) error {
	if realm.Own() != nil {
		return startScope(ctx, s, pid)
	}
	if c, err := dialBus(); err == nil {
		return c.StartScope(ctx, s, pid)
	}
	return startPrivate(ctx, s, pid)
}

// startPrivate asks PID 1 itself. The connection is closed at once, because PID 1
// sends every signal of every unit to every open private connection, n² for n
// starts.
func startPrivate(ctx context.Context, s *plan.Scope, pid int) error {
	defer takeTurn(ctx)()
	c, err := dialPrivate()
	if err != nil {
		return startScope(ctx, s, pid)
	}
	defer c.Close()
	if err := c.Ask(s, pid); err != nil {
		return err
	}
	if ok, err := c.await(ctx); ok || err != nil {
		return err
	}
	return startScope(ctx, s, pid)
}

// startScope does it whatever is in the way.
func startScope(ctx context.Context, s *plan.Scope, pid int) error {
	props, err := scopeProperties(s, pid)
	if err != nil {
		return err
	}
	for {
		m, err := Connect(ctx)
		if err != nil {
			return err
		}
		waiting.While(func() { err = m.startScope(ctx, s, props) })
		m.Close()
		if !HungUp(err) || ctx.Err() != nil {
			return err
		}
		if moved(ctx, s, pid) {
			return nil
		}
	}
}

// moved tells of a scope that was asked for, and of which PID 1 said nothing
// before it was executed again, whether it is there. The process shows it: a second
// scope of the name would be the end of the first.
func moved(ctx context.Context, s *plan.Scope, pid int) bool {
	ctx, cancel := context.WithTimeout(ctx, reexecPatience)
	defer cancel()
	dir, err := AwaitScope(ctx, s, pid, 0)
	if err != nil {
		return false
	}
	dir.Close()
	return true
}

// startScope starts it whatever an earlier start has left in the way.
func (m *Manager) startScope(ctx context.Context, s *plan.Scope, props []property) error {
	for {
		err := m.startTransient(ctx, s.Name, props)
		switch name := errorName(err); {
		case err == nil:
			return nil
		case (name == errUnknownProperty || name == errReadOnly) && len(props) > 0 && props[len(props)-1].Name == "OOMPolicy":
			props = props[:len(props)-1] // a scope has it since systemd 253
		case name == errUnitExists:
			if err := m.clear(ctx, s.Name); err != nil {
				return err
			}
		default:
			return fmt.Errorf("StartTransientUnit %s: %w", s.Name, err)
		}
	}
}

// scopeProperties is the fixed list of what is asked for; only Properties come
// from the definition, and each through the table in properties.go. OOMPolicy
// is last: StartScope leaves it away for old systemds.
func scopeProperties(s *plan.Scope, pid int) ([]property, error) {
	list := []property{
		{"PIDs", []uint32{uint32(pid)}},
		{"Delegate", true},
		{"Slice", s.Slice},
		{"Description", s.Description},
		// A failed scope must not block the next start (S-7).
		{"CollectMode", "inactive-or-failed"},
	}
	if s.BoundTo != "" {
		// The payload ends with its service, and is ordered so that the service is
		// stopped first; After= would deadlock with Type=notify (S-8).
		list = append(list, property{"BindsTo", []string{s.BoundTo}}, property{"Before", []string{s.BoundTo}})
	}
	if s.Needs != "" {
		list = append(list, property{"Wants", []string{s.Needs}})
	}
	if s.BoundTo == "" {
		// An engine's container: the engine stops it, and may do so at shutdown.
		list = append(list, property{"DefaultDependencies", false})
	}
	var last []property
	for _, d := range s.Properties {
		p, err := propertyOf(d)
		if err != nil {
			return nil, fmt.Errorf("scope property %s=%s: %w", d.Name, d.Value, err)
		}
		if p.Name == "OOMPolicy" {
			last = []property{p}
			continue
		}
		list = append(list, p)
	}
	return append(list, last...), nil
}

func propertyOf(d definition.Directive) (property, error) {
	name, value, err := busvalue.Of(d.Name, d.Value)
	return property{name, value}, err
}

// SetScope changes limits of a scope that runs, until the scope ends.
func SetScope(ctx context.Context, scope string, limits []definition.Directive) error {
	m, err := Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.setUnit(ctx, scope, limits)
}

func (m *Manager) setUnit(ctx context.Context, unit string, limits []definition.Directive) error {
	var variants []variantProperty
	for _, d := range limits {
		p, err := propertyOf(d)
		if err != nil {
			return fmt.Errorf("property %s=%s of %s: %w", d.Name, d.Value, unit, err)
		}
		variants = append(variants, variantProperty{p.Name, dbus.MakeVariant(p.Value)})
	}
	if err := m.call(ctx, "SetUnitProperties", nil, unit, true, variants); err != nil {
		return fmt.Errorf("SetUnitProperties %s: %w", unit, err)
	}
	return nil
}

// clear waits until no unit has the name any more. What keeps it is stopped or
// reset; ctx bounds it.
func (m *Manager) clear(ctx context.Context, unit string) error {
	for delay := 500 * time.Microsecond; ; delay = min(2*delay, 20*time.Millisecond) {
		state, err := m.ActiveState(ctx, unit)
		switch {
		case errorName(err) == errNoSuchUnit, state == "inactive":
			return nil
		case err != nil:
			return err
		case state == "failed":
			if err := m.call(ctx, "ResetFailedUnit", nil, unit); err != nil && errorName(err) != errNoSuchUnit {
				return fmt.Errorf("ResetFailedUnit %s: %w", unit, err)
			}
		case state == "active":
			// Left over from a start whose service is gone: BindsTo= would have
			// stopped it by now, so it is stopped by name.
			if err := m.call(ctx, "StopUnit", nil, unit, "replace"); err != nil && errorName(err) != errNoSuchUnit {
				return fmt.Errorf("StopUnit %s: %w", unit, err)
			}
		}
		// No signal is waited for: subscribing would cost PID 1 a message for
		// every unit of the host (S-11).
		select {
		case <-ctx.Done():
			return fmt.Errorf("unit %s of an earlier start is still %s: %w", unit, state, ctx.Err())
		case <-time.After(delay):
		}
	}
}

func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
