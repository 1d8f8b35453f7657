// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that reach this program and are meant for the
// process. SIGHUP is not among them: it says that the terminal is gone.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT}

// endings are those that a program without a handler for them ends by, and that
// end a start.
var endings = []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT}

// Signals are those that have reached this program since Catch: none is lost
// between the moment when there is nobody yet to pass it to and the session.
type Signals struct {
	queue chan os.Signal
	early []os.Signal // came during a start
}

// Catch begins to take signals. What was ignored stays so (nohup).
func Catch() *Signals {
	s := &Signals{queue: make(chan os.Signal, 16)}
	for _, sig := range append([]os.Signal{unix.SIGHUP}, forwarded...) {
		if !signal.Ignored(sig) {
			signal.Notify(s.queue, sig)
		}
	}
	return s
}

// Release takes no more; who gets one from now on ends by it.
func (s *Signals) Release() { signal.Stop(s.queue) }

// Starting gives a context that ends with the first signal that asks this
// program to end. After done, a session passes on all that came meanwhile.
func (s *Signals) Starting() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	over, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		for {
			select {
			case <-over:
				return
			case sig := <-s.queue:
				s.early = append(s.early, sig)
				if slices.Contains(endings, sig) {
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		close(over)
		<-left
		cancel()
		for len(s.queue) > 0 {
			s.early = append(s.early, <-s.queue)
		}
	}
}

// Ended is the first signal that ended a start, which is over; 0 = none did.
func (s *Signals) Ended() unix.Signal {
	for _, sig := range s.early {
		if slices.Contains(endings, sig) {
			number, _ := sig.(syscall.Signal)
			return number
		}
	}
	return 0
}
