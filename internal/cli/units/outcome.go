// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Outcome is what became of a unit's start that was part of another's job.
type Outcome int

// Its values.
const (
	Started  Outcome = iota // it runs, or ran and has ended, or one of its conditions was not met
	Failed                  // its start
	NotBegun                // systemd did not begin it: what it requires has failed, say
)

// OutcomeOf is that of a start that was asked for at a moment, once its job is over.
func OutcomeOf(ctx context.Context, bus Bus, unit string, since Moment) (Outcome, error) {
	var err error
	ask := func(name string) any {
		p, askErr := bus.GetUnitPropertyContext(ctx, unit, name)
		if askErr != nil {
			err = fmt.Errorf("asking systemd what has become of %s: %w", unit, askErr)
			return nil
		}
		return p.Value.Value()
	}
	after := func(name string) bool { return time.Duration(number(ask(name)))*time.Microsecond >= since.At }
	state, _ := ask("ActiveState").(string)
	met, _ := ask("ConditionResult").(bool)
	active, begun, checked := after("ActiveEnterTimestampMonotonic"), after("InactiveExitTimestampMonotonic"), after("ConditionTimestampMonotonic")
	switch {
	case err != nil:
		return NotBegun, err
	case !slices.Contains([]string{"inactive", "failed"}, state), active:
		return Started, nil
	case state == "failed":
		return Failed, nil
	case begun, checked && !met:
		return Started, nil
	}
	return NotBegun, nil
}
