// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// holdTerminal makes the terminal's other end one that is waited for, and opens
// the payload's end once more: a payload that closes all of its own and opens
// /dev/console later would hang up on us meanwhile (EIO, pty(7)).
func (l *logCopy) holdTerminal() error {
	if err := unix.SetNonblock(order.Logs, true); err != nil {
		return fmt.Errorf("the payload's terminal: %w", err)
	}
	// It stays open as long as this process lives, and is used for nothing.
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, order.Logs, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC); errno != 0 {
		return fmt.Errorf("TIOCGPTPEER of the payload's terminal: %w", errno)
	}
	return nil
}

// awaitTerminal waits for output; false = the payload has ended, and there is
// none left: what it wrote is seen by whoever looks after its end, for a read
// takes what is on its way too (drivers/tty/n_tty.c, n_tty_read).
func awaitTerminal() bool {
	fds := []unix.PollFd{{Fd: order.Logs, Events: unix.POLLIN}, {Fd: order.Payload, Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		if err == nil && fds[0].Revents&unix.POLLIN == 0 {
			// The end may have come after the terminal was looked at.
			for err = unix.EINTR; err == unix.EINTR; {
				_, err = unix.Poll(fds[:1], 0)
			}
		}
		return err == nil && fds[0].Revents&unix.POLLIN != 0
	}
}
