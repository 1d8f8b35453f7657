// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"testing"
	"time"

	"github.com/unitc/unitc/internal/relay/order"
)

func check() *order.Order {
	return &order.Order{
		Ready: order.ReadyHealthy, Probe: order.ProbeTCP, Interval: 30 * time.Second, StartInterval: 5 * time.Second, Retries: 3, Restart: true,
	}
}

// A start fails when Docker would call it unhealthy, not earlier, however often
// it was looked at meanwhile.
func TestFailuresOfAStartCountAsDockerCounts(t *testing.T) {
	for _, period := range []time.Duration{0, time.Minute} {
		begun := time.Unix(1000, 0)
		h := health{o: check(), begun: begun}
		h.o.StartPeriod = period
		now, looks := begun, 0
		for {
			out := h.result(now, "refused")
			looks++
			if out.ready {
				t.Fatal("a failure makes it ready")
			}
			if out.trigger {
				if took := now.Sub(begun); took < period+90*time.Second || took > period+110*time.Second {
					t.Errorf("with a start period of %v the start has failed after %v", period, took)
				}
				if want := "unhealthy: refused, 3 of 3"; out.status != want {
					t.Errorf("status %q, want %q", out.status, want)
				}
				break
			}
			if !out.next.After(now) || out.next.Sub(now) > 5*time.Second {
				t.Fatalf("the next look is %v later", out.next.Sub(now))
			}
			now = out.next
		}
		if looks < 15 {
			t.Errorf("only %d looks", looks)
		}
	}
}

func TestUnhealthyAfterRetriesAndHealthyAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	h := health{o: check(), begun: now}
	if out := h.result(now, ""); !out.ready || out.status != "healthy" || out.next.Sub(now) != 30*time.Second {
		t.Fatalf("the first success: %+v", out)
	}
	for i, want := range []outcome{
		{status: "failing: http 503 on /health, 1 of 3"}, {status: "failing: http 503 on /health, 2 of 3"},
		{status: "unhealthy: http 503 on /health, 3 of 3", trigger: true}, {status: "unhealthy: http 503 on /health, 3 of 3"},
	} {
		out := h.result(now, "http 503 on /health")
		if out.status != want.status || out.trigger != want.trigger || out.ready {
			t.Errorf("failure %d: %+v, want %+v", i+1, out, want)
		}
	}
	if out := h.result(now, ""); out.ready || out.trigger || out.status != "healthy" {
		t.Errorf("healthy again: %+v", out)
	}
	if out := h.result(now, "x"); out.status != "failing: x, 1 of 3" {
		t.Errorf("a failure after that: %+v", out)
	}
}

func TestUnhealthyWithoutRestartIsOnlyTold(t *testing.T) {
	now := time.Unix(1000, 0)
	h := health{o: check(), begun: now}
	h.o.Restart = false
	h.result(now, "")
	for range 9 {
		if out := h.result(now, "x"); out.trigger {
			t.Fatal("systemd is told to restart what is not to be restarted")
		}
	}
}

// Healthy before systemd could be told that the start has failed: it is told that.
func TestReadyAfterAFailedStart(t *testing.T) {
	now := time.Unix(1000, 0)
	h := health{o: check(), begun: now}
	for trigger := false; !trigger; now = now.Add(h.o.Interval) {
		trigger = h.result(now, "refused").trigger
	}
	if out := h.result(now, ""); !out.ready {
		t.Error("nobody is told that it is healthy")
	}
	if out := h.result(now, ""); out.ready {
		t.Error("it is told twice")
	}
}

// An image's figures may be any: what they add up to is a time still.
func TestPatienceIsATime(t *testing.T) {
	for _, o := range []order.Order{
		{Interval: 1<<63 - 1, Timeout: 1<<63 - 1, StartPeriod: 1<<63 - 1, Retries: 1<<31 - 1},
		{Interval: 3 * time.Hour, Timeout: 30 * time.Second, Retries: 1_000_000},
		{Interval: 10 * time.Millisecond, Timeout: 10 * time.Millisecond, Retries: 1<<31 - 1, StartPeriod: 1<<63 - 1},
	} {
		if got := (&health{o: &o}).patience(); got < time.Hour {
			t.Errorf("%+v: %v", o, got)
		}
	}
	if got := (&health{o: check()}).patience(); got != 30*time.Second+4*30*time.Second {
		t.Errorf("the usual one is %v", got)
	}
}
