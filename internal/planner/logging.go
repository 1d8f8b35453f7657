// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"cmp"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// logging reads the options that concern the relay; the others are the unit's.
func (b *builder) logging() error {
	if b.s.TTY && b.plan.Logging == definition.LogDirect {
		return &KeyError{"tty", "what is written to a terminal passes the relay, and `logging: driver: direct` has none", "drop one of the two"}
	}
	// Who opens another stream for the lines has to know their name.
	b.plan.Tag, _ = b.s.Logging.Option(definition.LogTag)
	if err := noNUL("logging", b.plan.Tag); err != nil {
		return err
	}
	format, _ := b.s.Logging.Option(definition.LogFormat)
	if format != definition.LogFormatJSON {
		return nil
	}
	if b.plan.Logging != definition.LogJournald {
		return &KeyError{"logging", "lines become fields in the relay, and the payload's output does not pass one",
			"drop `driver:`, or the format"}
	}
	b.plan.LogFormat = format
	b.plan.Tag = cmp.Or(b.plan.Tag, strings.TrimSuffix(b.plan.Unit, ".service"))
	return nil
}
