// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/relay/order"
)

// proxy passes one datagram on. Descriptors that come with it are dropped by
// the kernel, as no room is given for them; that is what BARRIER=1 waits for.
func (r *relay) proxy() {
	if r.datagram == nil {
		r.datagram = make([]byte, notification.Longest)
	}
	n, _, err := unix.Recvfrom(order.Proxy, r.datagram, unix.MSG_DONTWAIT)
	if err != nil {
		return
	}
	r.words.Passed()
	if lines := notification.Filter(string(r.datagram[:n])); len(lines) > 0 {
		r.notify.last = ""
		r.notify.send(lines...)
		if slices.Contains(lines, "READY=1") {
			r.started()
		}
	}
}
