// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/protection"
)

// attack is one way out that somebody has found in some runtime.
type attack struct {
	name string
	// rows are the identifiers of the list in docs/SECURITY-MODEL.md.
	rows string
	// what the attacker does.
	what string
	// off are the protections that are left away to see the attack succeed: names of
	// the package protection, separated by commas.
	off string
	// lax leaves them away by the configuration; laxly says how.
	lax   func(*target)
	laxly string
	// try makes the attack against a target and tells whether it has succeeded.
	try func(*testing.T, *target) bool
}

// raceTime is how long attackers race against what is shipped, and patience how
// long the same attack may take without the protection.
const (
	raceTime = 2 * time.Second
	patience = 30 * time.Second
)

// until is when a race against c ends.
func (c *target) until() time.Time {
	if !c.loose {
		return time.Now().Add(raceTime)
	}
	return time.Now().Add(patience)
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			if a.try(t, newTarget(t, "")) {
				t.Errorf("it works: %s", a.what)
			}
			c := newTarget(t, a.off)
			c.loose = true
			if a.lax != nil {
				a.lax(c)
			}
			if !a.try(t, c) {
				t.Errorf("it does not work without the protection either, so the test proves nothing")
			}
		})
	}
}

// What is shipped has no way to leave a protection away.
func TestShippedProgramHasNoSwitch(t *testing.T) {
	if protection.Off("in-root") {
		t.Error("these tests were built with the tag unsafe_attack")
	}
	for _, name := range programs {
		for off, want := range map[string]bool{"": false, "unsafe": true} {
			if got := strings.Contains(contents(t, build(name, off)), "UNITC_UNSAFE"); got != want {
				t.Errorf("%s knows UNITC_UNSAFE: %v, want %v", build(name, off), got, want)
			}
		}
	}
}
