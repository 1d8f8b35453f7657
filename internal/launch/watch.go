// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/pump"
	"github.com/unitc/unitc/internal/relay/order"
	"github.com/unitc/unitc/internal/slack"
)

// watchRelay begins the relay's part, and stays until it has sent READY=1: if it is
// killed before nobody else would, and the start would hang until its time-out. Who
// waits is no more than two pages where that can be.
func (s *starter) watchRelay() error {
	if err := unix.Shutdown(int(s.relay.process.Fd()), unix.SHUT_WR); err != nil {
		return os.NewSyscallError("shutdown", err)
	}
	for to, from := range map[int]int{0: int(s.relay.process.Fd()), order.Payload: int(s.relay.payload.Fd()), order.Notify: s.notify.fd} {
		if from < 0 {
			continue
		}
		if err := unix.Dup3(from, to, 0); err != nil {
			return fmt.Errorf("dup3 %d: %w", to, err)
		}
	}
	slack.Restore()
	_ = pump.ExecWatch(buildinfo.HelperPath)
	for {
		switch n, err := unix.Read(0, make([]byte, 1)); {
		case n > 0:
			return nil
		case !errors.Is(err, unix.EINTR):
			if what := lostRelay(); what != "" {
				return errors.New(what)
			}
			return nil
		}
	}
}

// RelayLost goes on for who has watched the relay (pump.ExecWatch) and seen its end.
func RelayLost() int {
	if what := lostRelay(); what != "" {
		fmt.Fprintf(journal.Stderr, "<3>%s\n", what)
		return exitFailure
	}
	return 0
}

// lostRelay ends the payload, if it has not ended by itself, and says why.
func lostRelay() string {
	// A signal would still reach one that systemd has not reaped. That the relay has ended
	// is a signal too, and poll(2) does not begin again behind one.
	ended := 0
	err := retry(func() (err error) {
		ended, err = unix.Poll([]unix.PollFd{{Fd: order.Payload, Events: unix.POLLIN}}, 0)
		return err
	})
	if ended != 0 || err != nil {
		return ""
	}
	const what = "unitc-relay was killed before it could tell systemd that the container is ready; the payload is killed, so that the start fails"
	_, _ = unix.Write(order.Notify, []byte(status(what)))
	_ = unix.PidfdSendSignal(order.Payload, unix.SIGKILL, nil, 0)
	return what
}
