// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
)

// attempt is one check on its way: descriptors to wait for, and what to do when
// one of them is ready.
type attempt struct {
	deadline time.Time
	fds      [2]unix.PollFd // Fd -1 = none
	// step goes on; done ends the attempt with failure, "" = it succeeded.
	step func(fd int, revents int16) (done bool, failure string)
	stop func()
	// late is what to say when time is up, "" = the usual.
	late func() string
	// ending is more than the failure tells, nil = there is no more.
	ending *ending
}

func newAttempt(deadline time.Time) *attempt {
	return &attempt{deadline: deadline, fds: [2]unix.PollFd{{Fd: -1}, {Fd: -1}}}
}

func (a *attempt) end() {
	if a != nil && a.stop != nil {
		a.stop()
	}
}

func (a *attempt) timedOut(after time.Duration) string {
	words := "no answer in " + after.String()
	if a.late != nil {
		words = a.late()
	}
	a.ending = &ending{exit: unfinished, output: words}
	return words
}

// startDue begins an attempt whose time has come.
func (r *relay) startDue(now time.Time) error {
	if r.attempt != nil || r.next.IsZero() || now.Before(r.next) || r.gone || r.stopping {
		return nil
	}
	if r.frozen() {
		r.next = now.Add(time.Second) // who cannot answer is not unwell
		return nil
	}
	r.begun = now
	a, failure := r.makeAttempt(now.Add(r.o.Timeout))
	if a == nil {
		r.finish(now, failure)
		return nil
	}
	r.attempt = a
	return nil
}

// makeAttempt begins a check; without an attempt it is over, and failure says how.
func (r *relay) makeAttempt(deadline time.Time) (a *attempt, failure string) {
	switch r.o.Probe {
	case order.ProbeFile:
		failure = fileProbe(r.o.Target)
	case order.ProbeLog:
		if !r.log.matched() {
			failure = "no line matches " + r.o.Target
		}
	case order.ProbeUnix:
		a, failure = unixProbe(r.o.Target, deadline)
	case order.ProbeTCP, order.ProbeHTTP:
		if strings.HasPrefix(r.o.Target, "https://") {
			a, failure = r.tlsProbe(deadline)
		} else {
			a, failure = r.socketProbe(deadline)
		}
	case order.ProbeExec:
		a, failure = r.execProbe(deadline)
	}
	return a, failure
}

func (r *relay) advance(a *attempt, fd int, revents int16) {
	if r.attempt != a {
		return // it ended in this very round
	}
	if done, failure := a.step(fd, revents); done {
		r.finish(time.Now(), failure)
	}
}

// finish draws the consequences of a check.
func (r *relay) finish(now time.Time, failure string) {
	r.attempt.end()
	e, before := endingOf(r.attempt, failure), r.health.state
	r.attempt = nil
	out := r.health.result(now, notification.OneLine(failure))
	r.next = out.next
	if out.ready && r.o.Ready == order.ReadyHealthy {
		r.notify.last = out.status
		r.notify.send("READY=1", "STATUS="+out.status)
		r.started()
	} else {
		r.notify.status(out.status)
	}
	r.keep(now, e)
	r.writeHealth(out.status)
	if r.health.state != before && r.health.state != starting {
		r.announce(out, e)
	}
	if out.trigger && r.trigger == nil && r.ask.IsZero() {
		r.askBeforeTrigger()
	}
}

// writeHealth leaves the last word below /run, for clean-up and for `unitc why`:
// systemd forgets the status of a service that ends.
func (r *relay) writeHealth(status string) {
	if status == r.written {
		return
	}
	if r.put(r.o.Dir+"/health", []byte(status+"\n")) {
		r.written = status
	}
}

// askBeforeTrigger looks whether the service is being stopped: systemd takes
// WATCHDOG=trigger in any state, and a payload that shuts down answers no probe.
func (r *relay) askBeforeTrigger() {
	words := []string{"/usr/bin/systemctl", "show", "--property=ActiveState", "--value", "--", r.o.Unit}
	if realm.Entered() {
		words = slices.Insert(words, 1, "--user")
	}
	p, err := start(words, nil, nil)
	if err != nil {
		words[0] = "/bin/systemctl"
		p, err = start(words, nil, nil)
	}
	if err != nil {
		r.ask = time.Now().Add(askPause)
		return
	}
	r.trigger, r.ask = p, time.Now().Add(askPatience)
}

// A systemd that begins anew (systemctl daemon-reexec) answers no question, or has
// systemctl 252 wait for 25 s.
const (
	askPatience = 3 * time.Second
	askPause    = time.Second // between two questions
)

// triggerAnswered: a failure is told once, so that no answer is not the end of it.
func (r *relay) triggerAnswered() {
	state, _ := r.trigger.wait()
	r.trigger, r.ask = nil, time.Time{}
	state = strings.TrimSpace(state)
	switch {
	case r.gone || r.stopping || r.health.state != unhealthy:
	case state == "":
		r.ask = time.Now().Add(askPause)
	case state != "deactivating" && state != "inactive" && state != "failed":
		r.notify.send("WATCHDOG=trigger")
	}
}

// askAgain ends a question without an answer, and asks the next one when its time
// has come, if there still is a reason.
func (r *relay) askAgain(now time.Time) {
	if r.ask.IsZero() || now.Before(r.ask) {
		return
	}
	r.ask = time.Time{}
	if r.trigger != nil {
		_ = unix.PidfdSendSignal(r.trigger.pidfd, unix.SIGKILL, nil, 0) // which ends it without an answer
		return
	}
	if !r.gone && !r.stopping && r.health.state == unhealthy {
		r.askBeforeTrigger()
	}
}

// frozen tells whether the payload's cgroup is frozen (`systemctl freeze`,
// `unitc pause`).
func (r *relay) frozen() bool {
	if r.o.Cgroup == "" {
		return false
	}
	var b [256]byte
	fd, err := unix.Open(r.o.Cgroup+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	n, _ := unix.Read(fd, b[:])
	unix.Close(fd)
	return strings.Contains(string(b[:max(n, 0)]), "frozen 1")
}
