// SPDX-License-Identifier: Apache-2.0

// Package relay is the process that stays beside a payload whose definition asks
// for probes, readiness from inside or structured logs (DESIGN §5). It lives in
// the service's cgroup, with the payload's network namespace and the host's
// everything else; it ignores the stop signals, copies the log to its end and
// ends with the payload.
//
// One is resident for each such container, so the room is held to plain system
// calls: no net, no encoding/json, no os/exec, one loop over poll(2), and one
// more thread for the log. What comes from the payload (output, answers to
// probes, notifications) is hostile: it is bounded, and never more than text.
package relay

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
)

// heapPercent keeps the heap near what lives in it: a probe every half minute
// makes little garbage, and 4 MiB of it would be resident for each container.
const heapPercent = 10

// relay is a payload's companion.
type relay struct {
	o       *order.Order
	notify  notifier
	health  health
	written string // of the last word below /run
	log     *logCopy
	// audience have joined the payload's streams.
	audience *audience

	helper   *os.File // who watches until READY=1 has been sent; nil = nobody
	stops    int      // gives a byte for each signal
	gone     bool     // the payload's first process has ended
	stopping bool     // systemd is stopping the service
	attempt  *attempt
	begun    time.Time // when the attempt did, or the last one
	kept     int       // checks that were left below /run
	next     time.Time // of the next attempt
	hooks    *process  // runs the commands of post_start; nil = it does not
	trigger  *process  // asks systemd before it is told of an unhealthy payload
	ask      time.Time // when that has taken too long, or it is asked again; zero = never
	fds      []unix.PollFd
	datagram []byte
	words    notification.Pace
}

// Run is the whole life of the relay; it gives the exit status.
func Run() int {
	// First of all: the helper starts the relay again when a stop signal comes before.
	stops := make(chan os.Signal, 16)
	signal.Notify(stops, order.StopSignals()...)
	debug.SetGCPercent(heapPercent)
	r, err := open(stops)
	if err == nil {
		err = r.loop()
		r.awaitNetwork()
	}
	status := 0
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<3>relay: %v\n", err)
		status = 1
	}
	if realm.Entered() {
		journal.Settle()
	}
	return status
}

func open(stops <-chan os.Signal) (*relay, error) {
	// What runs checks gets what it needs and no more: who speaks TLS with the payload
	// may not speak with systemd.
	for fd := order.Text; fd <= order.Helper; fd++ {
		unix.CloseOnExec(fd)
	}
	o, err := readOrder()
	if err != nil {
		return nil, err
	}
	r := &relay{o: o, stops: -1, health: health{o: o, begun: time.Now()}}
	if r.stops, err = signalPipe(stops); err != nil {
		return nil, err
	}
	r.audience = newAudience(o)
	if r.log, err = startLog(o, r.audience); err != nil {
		return nil, err
	}
	r.awaitStart()
	return r, r.begin()
}

// awaitStart: signals are taken, and the payload runs when the helper has told
// systemd of it and is gone.
func (r *relay) awaitStart() {
	r.helper = os.NewFile(order.Helper, "helper")
	if _, err := r.helper.Write([]byte{0}); err == nil { // or it is gone already
		_, _ = r.helper.Read(make([]byte, 1))
	}
	if !order.Awaits(r.o.Ready) {
		r.started()
	}
}

// started is when systemd has been told, or needs no word of this process.
func (r *relay) started() {
	if r.helper != nil {
		_, _ = r.helper.Write([]byte{0})
		r.helper.Close()
		r.helper = nil
	}
}

// signalPipe makes signals something that poll(2) waits for.
func signalPipe(stops <-chan os.Signal) (int, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return -1, fmt.Errorf("opening a pipe for signals: %w", err)
	}
	go func() {
		for s := range stops {
			if n, ok := s.(unix.Signal); ok {
				_, _ = unix.Write(pipe[1], []byte{byte(n)})
			}
		}
	}()
	return pipe[0], nil
}

// begin says what is waited for.
func (r *relay) begin() error {
	if r.o.Extend && r.o.Ready == order.ReadyHealthy {
		r.notify.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", r.health.patience().Microseconds()))
	}
	if !r.o.PostStart {
		r.beginProbing()
		return nil
	}
	// Its words go to the journal as ours do.
	var err error
	if r.hooks, err = startQuiet([]string{r.o.Helper, "post-start", r.o.Dir, "relay"}, []int{order.Payload}); err != nil {
		return fmt.Errorf("post_start: %s: %w", r.o.Helper, err)
	}
	r.notify.status("starting: post_start")
	return nil
}

func (r *relay) beginProbing() {
	r.health.begun = time.Now()
	if r.o.Probe != "" && !r.gone && !r.stopping {
		r.next = r.health.begun
	}
}

// hooksEnded goes on with the start, or ends it: nobody is to depend on a
// payload whose preparation has failed.
func (r *relay) hooksEnded() {
	_, ws := r.hooks.wait()
	r.hooks = nil
	if failure := execFailure("", ws); failure != "" {
		r.notify.status("failed: post_start: " + failure)
		r.notify.send("WATCHDOG=trigger")
		return
	}
	r.beginProbing()
}

// loop waits for whatever comes first. It ends when the payload is gone and its
// output is at its end.
func (r *relay) loop() error {
	for !(r.gone && r.log.ended()) {
		if err := r.startDue(time.Now()); err != nil {
			return err
		}
		if err := r.poll(); err != nil {
			return err
		}
		now := time.Now()
		if a := r.attempt; a != nil && !now.Before(a.deadline) {
			r.finish(now, a.timedOut(r.o.Timeout))
		}
		r.askAgain(now)
	}
	return nil
}

// hears tells whether the payload has words for systemd.
func (r *relay) hears() bool { return !r.gone && r.o.Ready == order.ReadyContainer }

// source is a descriptor of the loop and what to do when it is ready.
type source struct {
	fd     int
	events int16
	ready  func(revents int16)
}

func (r *relay) sources(now time.Time) []source {
	list := []source{
		{r.stops, unix.POLLIN, func(int16) { r.stopSignal() }},
		{r.log.wake, unix.POLLIN, func(int16) { r.logWoke() }},
	}
	if !r.gone {
		list = append(list, source{order.Payload, unix.POLLIN, func(int16) { r.payloadEnded() }})
		if r.hears() && !r.words.Next(now).After(now) {
			list = append(list, source{order.Proxy, unix.POLLIN, func(int16) { r.proxy() }})
		}
	}
	list = append(list, r.audienceSources()...)
	if a := r.attempt; a != nil {
		for _, p := range a.fds {
			if p.Fd >= 0 {
				list = append(list, source{int(p.Fd), p.Events, func(revents int16) { r.advance(a, int(p.Fd), revents) }})
			}
		}
	}
	if h := r.hooks; h != nil {
		list = append(list, source{h.pidfd, unix.POLLIN, func(int16) { r.hooksEnded() }})
	}
	if t := r.trigger; t != nil {
		list = append(list, source{t.pidfd, unix.POLLIN, func(int16) { r.triggerAnswered() }})
	}
	return list
}

func (r *relay) poll() error {
	now := time.Now()
	list := r.sources(now)
	r.fds = r.fds[:0]
	for _, s := range list {
		r.fds = append(r.fds, unix.PollFd{Fd: int32(s.fd), Events: s.events})
	}
	if _, err := unix.Poll(r.fds, r.timeout(now)); err != nil {
		if err == unix.EINTR {
			return nil
		}
		return fmt.Errorf("poll: %w", err)
	}
	for i, s := range list {
		if r.fds[i].Revents != 0 {
			s.ready(r.fds[i].Revents)
		}
	}
	return nil
}

// timeout is for poll(2): milliseconds until something is due, -1 = never.
func (r *relay) timeout(now time.Time) int {
	at := r.next
	if r.attempt != nil {
		at = r.attempt.deadline
	}
	if at.IsZero() || !r.ask.IsZero() && r.ask.Before(at) {
		at = r.ask
	}
	if r.hears() {
		if next := r.words.Next(now); next.After(now) && (at.IsZero() || next.Before(at)) {
			at = next
		}
	}
	if at.IsZero() {
		return -1
	}
	// Rounded up: a loop that wakes too early would spin until the time has come.
	return int(max(at.Sub(now)+time.Millisecond-1, 0) / time.Millisecond)
}

// stopSignal is what systemctl stop sends to all of the service's cgroup. The
// payload is ending by order: what its probes would say is of no interest.
func (r *relay) stopSignal() {
	var b [1]byte
	if n, err := unix.Read(r.stops, b[:]); err == nil && n > 0 {
		switch unix.Signal(b[0]) {
		case unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP, unix.SIGWINCH, unix.SIGCONT:
			return // `systemctl kill` asks the payload for something else
		}
		r.stopping = true
		r.stopProbing()
	}
}

func (r *relay) stopProbing() {
	r.attempt.end()
	r.attempt, r.next = nil, time.Time{}
}

// payloadEnded waits until PID 1 has taken note of the end: it forgets a process
// only after it has told the service. A READY=1 sent before would make the
// service active whatever the exit status is; sent now it counts only if systemd
// still waits for it, which it does after status 0 alone.
func (r *relay) payloadEnded() {
	r.gone = true
	r.stopProbing()
	if r.o.Network != "" {
		_ = os.WriteFile(r.o.Network+"/cgroup.kill", []byte("1"), 0) // or it ends with the scope
	}
	if r.o.Ready != order.ReadyExit {
		return
	}
	for unix.PidfdSendSignal(order.Payload, 0, nil, 0) == nil {
		time.Sleep(time.Millisecond)
	}
	r.notify.send("READY=1", "STATUS=ended") // how, systemd tells
	r.notify.barrier()
}

// networkPatience bounds awaitNetwork: a killed process ends within milliseconds.
const networkPatience = 200 * time.Millisecond

// awaitNetwork has nobody who has waited for the stop find ports in use.
func (r *relay) awaitNetwork() {
	if r.o.Network == "" {
		return
	}
	for deadline := time.Now().Add(networkPatience); cgroupfs.Populated(r.o.Network) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func (r *relay) logWoke() {
	var b [16]byte
	n, _ := unix.Read(r.log.wake, b[:])
	if n <= 0 {
		r.log.close()
		return
	}
	if r.o.Probe == order.ProbeLog && !r.gone && !r.stopping && r.attempt == nil {
		r.next = time.Now()
	}
}
