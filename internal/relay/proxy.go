// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/relay/order"
)

// maxNotification is what systemd reads of one message (NOTIFY_BUFFER_MAX).
const maxNotification = 4096

// passed are the words of a payload that reach systemd. Those left out would
// let it act for its service: name another main process, keep descriptors in
// systemd, change its own watchdog (SECURITY §3).
var passed = []string{"READY=", "STATUS=", "WATCHDOG=", "RELOADING=", "STOPPING=", "ERRNO=", "EXTEND_TIMEOUT_USEC="}

// Each word costs PID 1 a look at the service and a signal to all who watch it, and
// PID 1 serves the host: so many are passed at once, and then one in each pause. Those
// beyond wait in the payload's own socket, which makes it wait in its turn; none is lost.
const (
	mostWords = 100
	wordPause = 10 * time.Millisecond
)

// words bounds how many of a payload's words are passed on.
type words struct {
	passed int       // that no pause has gone by for
	since  time.Time // of the last pause that was counted
}

// next is when one more may be passed: now, or later.
func (w *words) next(now time.Time) time.Time {
	if gone := int(now.Sub(w.since) / wordPause); gone >= w.passed {
		w.passed, w.since = 0, now
	} else {
		w.passed, w.since = w.passed-gone, w.since.Add(time.Duration(gone)*wordPause)
	}
	if w.passed < mostWords {
		return now
	}
	return w.since.Add(wordPause)
}

// proxy passes one datagram on. Descriptors that come with it are dropped by
// the kernel, as no room is given for them; that is what BARRIER=1 waits for.
func (r *relay) proxy() {
	if r.datagram == nil {
		r.datagram = make([]byte, maxNotification)
	}
	n, _, err := unix.Recvfrom(order.Proxy, r.datagram, unix.MSG_DONTWAIT)
	if err != nil {
		return
	}
	r.words.passed++
	if lines := filter(string(r.datagram[:n])); len(lines) > 0 {
		r.notify.last = ""
		r.notify.send(lines...)
		if slices.Contains(lines, "READY=1") {
			r.started()
		}
	}
}

// filter keeps the lines that may pass, each value plain text.
func filter(message string) []string {
	if protection.Off("notify-filter") {
		return strings.Split(message, "\n")
	}
	var lines []string
	for line := range strings.SplitSeq(message, "\n") {
		for _, name := range passed {
			value, ok := strings.CutPrefix(line, name)
			if !ok {
				continue
			}
			if name == "STATUS=" {
				value = oneLine(value)
			} else if strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
				continue
			}
			lines = append(lines, name+value)
		}
	}
	return lines
}
