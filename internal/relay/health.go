// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strconv"
	"time"

	"github.com/unitc/unitc/internal/relay/order"
)

// States of a payload that is probed, in Docker's words.
const (
	starting  = "starting"
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// firstPace is the time after the first failed check of a start; it doubles.
const firstPace = 100 * time.Millisecond

// health counts what checks say. It has no clock of its own.
//
// Docker waits one interval before the first check, so that a container of
// which others wait is healthy after half a minute at the earliest. Here checks
// begin at once and come closely until the first success, and only failures at
// the times at which Docker would have looked are counted.
type health struct {
	o       *order.Order
	begun   time.Time
	state   string // "" = starting
	ready   bool   // it has been healthy
	tries   int    // of the start
	streak  int    // failures in a row that count
	counted time.Time
	failure string // of the last check, "" = it succeeded
}

// outcome is what follows from one check.
type outcome struct {
	next    time.Time // of the next check, zero = never again
	status  string    // for systemctl status
	ready   bool      // the first success
	trigger bool      // systemd is to be told
}

// result takes the result of a check that ended now; failure "" is a success.
func (h *health) result(now time.Time, failure string) outcome {
	h.failure = failure
	first := h.state == "" || h.state == starting
	if failure == "" {
		// Also after the start has failed: it is not over before systemd has said so.
		out := outcome{next: now.Add(h.o.Interval), status: healthy, ready: !h.ready}
		h.state, h.ready, h.streak = healthy, true, 0
		if h.o.Probe == order.ProbeLog {
			out.next = time.Time{} // a line that was written stays written
		}
		return out
	}
	if first {
		return h.failedStart(now)
	}
	h.streak++
	out := outcome{next: now.Add(h.o.Interval), status: h.words("failing")}
	if h.streak >= h.o.Retries {
		out.trigger = h.o.Restart && h.state != unhealthy
		h.state, out.status = unhealthy, h.words(unhealthy)
	}
	return out
}

func (h *health) failedStart(now time.Time) outcome {
	h.state = starting
	out := outcome{next: now.Add(h.pace())}
	h.tries++
	since := h.counted
	if since.IsZero() {
		since = h.begun.Add(h.o.StartPeriod)
	}
	if now.Sub(since) >= h.o.Interval {
		h.counted = now
		h.streak++
	}
	if h.streak < h.o.Retries {
		out.status = "starting: " + h.failure
		return out
	}
	// A start that others may wait for has failed; one that nobody waits for is
	// handled as any other failure.
	out.trigger = h.o.Restart || h.o.Ready == order.ReadyHealthy
	h.state, out.status = unhealthy, h.words(unhealthy)
	out.next = now.Add(h.o.Interval)
	return out
}

// pace is the time to the next check of a start.
func (h *health) pace() time.Duration {
	most := min(h.o.StartInterval, h.o.Interval)
	if h.tries > 10 {
		return most
	}
	return min(firstPace<<h.tries, most)
}

func (h *health) words(state string) string {
	return state + ": " + h.failure + ", " + strconv.Itoa(min(h.streak, h.o.Retries)) + " of " + strconv.Itoa(h.o.Retries)
}

// patience is what the first success may take before the start has failed.
func (h *health) patience() time.Duration {
	const slack = 30 * time.Second
	const most = 10 * 365 * 24 * time.Hour // an image's figures may be any
	each := min(h.o.Interval, most) + min(h.o.Timeout, most)
	if int64(h.o.Retries) >= int64(most/max(each, 1)) {
		return most
	}
	return min(h.o.StartPeriod, most) + time.Duration(h.o.Retries+1)*each + slack
}
