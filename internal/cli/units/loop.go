// SPDX-License-Identifier: Apache-2.0

package units

import "context"

// Loop is whether systemd starts a unit again and again.
type Loop int

// Its values.
const (
	Rests     Loop = iota // it does not run, and is not to
	InBetween             // it is on its way up or down: the next look tells
	Loops                 // it did not stay up: systemd waits before the next start, or has given up
)

// LoopOf asks about a unit that has no payload now. What has failed and is not restarted
// by itself, a job say, rests: it is run by who wants that.
func LoopOf(ctx context.Context, bus Bus, unit string) (Loop, error) {
	state, err := State(ctx, bus, unit)
	if err != nil {
		return Rests, err
	}
	switch state {
	case "restarting":
		return Loops, nil
	case "starting", "stopping":
		return InBetween, nil
	case "failed":
		p, err := bus.GetUnitTypePropertyContext(ctx, unit, "Service", "Restart")
		if err != nil {
			return Rests, nil
		}
		if policy, _ := p.Value.Value().(string); policy != "" && policy != "no" {
			return Loops, nil
		}
	}
	return Rests, nil
}

// IsUnsteady tells of a unit that is to run whether it has ended by itself since it was
// started by somebody.
func IsUnsteady(ctx context.Context, bus Bus, unit string) (bool, error) {
	state, err := State(ctx, bus, unit)
	if err != nil || state == "stopped" {
		return false, err
	}
	if state == "restarting" || state == "failed" {
		return true, nil
	}
	n, err := serviceNumber(ctx, bus, unit, "NRestarts")
	return n > 0, err
}
