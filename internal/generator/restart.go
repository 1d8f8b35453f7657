// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

const (
	// endlessDelay parts the starts of a service that may restart for ever: at
	// systemd's 100 ms one that dies at once would burn a core. RestartSteps=
	// (v254) does not help: it never counts back (systemd issue 43813).
	endlessDelay = time.Second
	// startsByHand is how often a container that nothing restarts may be started
	// within DefaultStartLimitIntervalSec=, ten seconds.
	startsByHand = 50
	// upAfter is how long docker lets a container run before its failures
	// count anew.
	upAfter = 10 * time.Second
)

// restartLimit bounds the starts, in [Unit].
func (t *translation) restartLimit() {
	r := t.service.Restart
	switch {
	case !restarts(r) && t.restartsBySystemd():
		// systemd's own limit goes with systemd's own restarts.
	case !restarts(r):
		// An operator may start it more often than systemd's five times in ten seconds.
		t.w.Set("StartLimitBurst", strconv.Itoa(startsByHand))
	case r.MaxRetries == 0:
		// Docker never gives up, systemd would after five starts in ten seconds.
		t.w.Set("StartLimitIntervalSec", "0")
	default:
		// The first start and N more, each of which counts as docker counts: it
		// did not stay up.
		starts := r.MaxRetries + 1
		t.w.Set("StartLimitBurst", strconv.Itoa(starts))
		t.w.Set("StartLimitIntervalSec", product(starts, cmp.Or(r.Window, upAfter)+r.Delay))
	}
}

// restartsBySystemd: `systemd: {service: {Restart: …}}` is given, or the statuses
// that have a restart in any case.
func (t *translation) restartsBySystemd() bool {
	return slices.ContainsFunc(t.service.System.Service, func(d definition.Directive) bool {
		return d.Name == "Restart" || d.Name == "RestartForceExitStatus"
	})
}

// product is n times d as a time span; what time.Duration cannot count is for ever.
func product(n int, d time.Duration) string {
	if d <= 0 || time.Duration(n) > math.MaxInt64/d {
		return "infinity"
	}
	return span(time.Duration(n) * d)
}

// restart says when and how soon, in [Service].
func (t *translation) restart() {
	r := t.service.Restart
	if t.broken || !restarts(r) {
		return
	}
	policy := "always"
	if r.Policy == definition.RestartOnFailure {
		policy = "on-failure"
	}
	t.w.Set("Restart", policy)
	switch {
	case r.Delay > 0:
		t.w.Set("RestartSec", span(r.Delay))
	case r.MaxRetries == 0:
		t.w.Set("RestartSec", span(endlessDelay))
	}
}

func restarts(r definition.Restart) bool {
	return r.Policy == definition.RestartAlways || r.Policy == definition.RestartUnlessStopped || r.Policy == definition.RestartOnFailure
}
