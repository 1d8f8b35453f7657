// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// notifier speaks sd_notify(3) on the socket that the helper has connected.
// Nothing is done about errors: where systemd does not hear, nothing of the
// payload's life depends on it.
type notifier struct{ last string }

func (n *notifier) send(lines ...string) {
	_, _ = unix.Write(order.Notify, []byte(strings.Join(lines, "\n")))
}

// status shows a line in `systemctl status`, once.
func (n *notifier) status(text string) {
	if text != n.last {
		n.last = text
		n.send("STATUS=" + text)
	}
}

// barrier waits until systemd has read what was sent: of a process that is gone
// by then it would not know the service (S-9).
func (n *notifier) barrier() {
	var p [2]int
	if unix.Pipe2(p[:], unix.O_CLOEXEC) != nil {
		return
	}
	_ = unix.Sendmsg(order.Notify, []byte("BARRIER=1"), unix.UnixRights(p[1]), nil, 0)
	unix.Close(p[1])
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(p[0])}}, 5000); err != unix.EINTR {
			break
		}
	}
	unix.Close(p[0])
}
