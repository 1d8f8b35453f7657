// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// ForeignError is a unit that systemd has and unitc has not made.
type ForeignError struct{ Unit string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is not a unit of unitc's; use systemctl", e.Unit)
}

// NotRunningError is a container of which there is nothing to act on.
type NotRunningError struct{ Name, State string }

func (e *NotRunningError) Error() string {
	switch e.State {
	case "running", "starting", "restarting", "stopping":
		return fmt.Sprintf("%s is on its way (%s) and has no payload now; try again in a moment", e.Name, e.State)
	}
	return fmt.Sprintf("%s is not running (%s); start it: systemctl start %s", e.Name, e.State, e.Name)
}

// LostError is a container that runs and of which is not known any more what was
// launched: somebody has removed it.
type LostError struct{ Name string }

func (e *LostError) Error() string {
	return fmt.Sprintf("%s runs, and /run/unitc/%[1]s, which says what was launched, has been removed; systemctl restart %[1]s makes it anew", e.Name)
}

// IsForeign tells whether systemd has a unit of this name that is not ours.
func IsForeign(ctx context.Context, bus Bus, unit string) bool {
	p, err := bus.GetUnitPropertyContext(ctx, unit, "LoadState")
	if err != nil {
		return false
	}
	state, _ := p.Value.Value().(string)
	return state != "" && state != "not-found"
}

// MainPID is the payload's first process, 0 without one.
func MainPID(ctx context.Context, bus Bus, unit string) (int, error) {
	n, err := serviceNumber(ctx, bus, unit, "MainPID")
	return int(n), err
}

// Ended is how a service's main process ended last.
type Ended struct {
	PID    int
	Code   int // of waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0 = it has not ended
	Status int // exit status or signal
	Active string
}

// LastEnd asks for it.
func LastEnd(ctx context.Context, bus Bus, unit string) (Ended, error) {
	var e Ended
	for _, q := range []struct {
		name string
		into *int
	}{{"ExecMainPID", &e.PID}, {"ExecMainCode", &e.Code}, {"ExecMainStatus", &e.Status}} {
		n, err := serviceNumber(ctx, bus, unit, q.name)
		if err != nil {
			return e, err
		}
		*q.into = int(n)
	}
	p, err := bus.GetUnitPropertyContext(ctx, unit, "ActiveState")
	if err != nil {
		return e, fmt.Errorf("asking systemd for the state of %s: %w", unit, err)
	}
	e.Active, _ = p.Value.Value().(string)
	return e, nil
}

func serviceNumber(ctx context.Context, bus Bus, unit, name string) (uint64, error) {
	p, err := bus.GetUnitTypePropertyContext(ctx, unit, "Service", name)
	if err != nil {
		return 0, fmt.Errorf("asking systemd for %s of %s: %w", name, unit, err)
	}
	return number(p.Value.Value()), nil
}

// Kill sends a signal to the first process, or to all of the payload.
func Kill(ctx context.Context, bus Bus, name string, signal int, all bool) error {
	unit, who := name+".service", dbus.Main
	if all {
		unit, who = scopeOf(name), dbus.All
	}
	err := bus.KillUnitWithTarget(ctx, unit, who, int32(signal))
	if all && isUnknown(err) {
		// `cgroup: service` has no scope.
		unit = name + ".service"
		err = bus.KillUnitWithTarget(ctx, unit, who, int32(signal))
	}
	if err != nil {
		return fmt.Errorf("sending signal %d to %s: %w", signal, unit, err)
	}
	return nil
}

// Freeze stops all processes of a payload where they are; Thaw lets them go on.
func Freeze(ctx context.Context, bus Bus, name string) error {
	return onHolder(name, "freezing", func(unit string) error { return bus.FreezeUnit(ctx, unit) })
}

// Thaw ends what Freeze has begun.
func Thaw(ctx context.Context, bus Bus, name string) error {
	return onHolder(name, "thawing", func(unit string) error { return bus.ThawUnit(ctx, unit) })
}

// onHolder acts on the unit whose cgroup the payload is in. The service is
// never frozen with a scope: its log relay would stand still.
func onHolder(name, what string, act func(unit string) error) error {
	unit := scopeOf(name)
	err := act(unit)
	if isUnknown(err) {
		unit = name + ".service"
		err = act(unit)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, unit, err)
	}
	return nil
}

func isUnknown(err error) bool {
	var refused godbus.Error
	return errors.As(err, &refused) && strings.HasSuffix(refused.Name, ".NoSuchUnit")
}

// ScopeOf is the scope of a unit's payload.
func ScopeOf(name string) string { return scopeOf(name) }

// State is one word for what a unit does.
func State(ctx context.Context, bus Bus, unit string) (string, error) {
	var words [2]string
	for i, name := range []string{"ActiveState", "SubState"} {
		p, err := bus.GetUnitPropertyContext(ctx, unit, name)
		if err != nil {
			return "", fmt.Errorf("asking systemd for the state of %s: %w", unit, err)
		}
		words[i], _ = p.Value.Value().(string)
	}
	return state(&dbus.UnitStatus{ActiveState: words[0], SubState: words[1]}), nil
}

// NameOfScope is the container whose payload is in a scope, "" for another's.
func NameOfScope(unit string) string {
	name, isScope := strings.CutSuffix(unit, ".scope")
	name, ours := strings.CutPrefix(name, "unitc-")
	if !isScope || !ours {
		return ""
	}
	return strings.ReplaceAll(strings.Replace(name, ":", "@", 1), `\x40`, "@")
}

// FailedImages are the units that were to fetch a service's images, and did not.
func FailedImages(ctx context.Context, bus Bus, unit string) (failed []string) {
	p, err := bus.GetUnitPropertyContext(ctx, unit, "Wants")
	if err != nil {
		return nil
	}
	names, _ := p.Value.Value().([]string)
	for _, name := range names {
		if !strings.HasPrefix(name, "unitc-image") {
			continue
		}
		if p, err := bus.GetUnitPropertyContext(ctx, name, "ActiveState"); err == nil && p.Value.Value() == "failed" {
			failed = append(failed, name)
		}
	}
	return failed
}

// StatusText is the last STATUS= of a service, "" if there is none.
func StatusText(ctx context.Context, bus Bus, unit string) string {
	p, err := bus.GetUnitTypePropertyContext(ctx, unit, "Service", "StatusText")
	if err != nil {
		return ""
	}
	text, _ := p.Value.Value().(string)
	return text
}

// Version is systemd's own, as "257.9-1~deb13u1".
func Version(ctx context.Context, bus Bus) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // this question of go-systemd's knows no context
		text, err := bus.GetManagerProperty("Version")
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return strings.Trim(a.text, `"`), a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Times of a unit's last start, since the boot; 0 = not reached.
type Times struct{ Begun, Launched, Ready, Ended time.Duration }

// TimesOf asks for them. What cannot be told stays 0.
func TimesOf(ctx context.Context, bus Bus, name string) Times {
	ask := func(unit, property string) time.Duration {
		p, err := bus.GetUnitPropertyContext(ctx, unit, property)
		if err != nil {
			return 0
		}
		return time.Duration(number(p.Value.Value())) * time.Microsecond
	}
	unit := name + ".service"
	t := Times{Begun: ask(unit, "InactiveExitTimestampMonotonic"), Ready: ask(unit, "ActiveEnterTimestampMonotonic"), Ended: ask(unit, "InactiveEnterTimestampMonotonic")}
	t.Launched = ask(scopeOf(name), "ActiveEnterTimestampMonotonic")
	if t.Ended < t.Begun {
		t.Ended = 0
	}
	// Of an earlier start.
	if t.Ready < t.Begun {
		t.Ready = 0
	}
	if t.Launched < t.Begun {
		t.Launched = 0
	}
	return t
}
