// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/notification"
	"github.com/unitc/unitc/internal/relay/order"
)

// Check makes one check and nothing else, for `unitc healthcheck`: what is wrong is its
// output. It is started as the relay is, with the order, the payload and its root alone.
func Check() int {
	for fd := order.Text; fd <= order.Helper; fd++ {
		unix.CloseOnExec(fd)
	}
	o, err := readOrder()
	if err != nil {
		fmt.Println(err)
		return order.ProbeFailed
	}
	r := &relay{o: o}
	a, failure := r.makeAttempt(time.Now().Add(o.Timeout))
	if a != nil {
		failure = a.await(o.Timeout)
	}
	if failure == "" {
		return 0
	}
	fmt.Println(notification.OneLine(failure))
	return 1
}

// await is the loop for one attempt.
func (a *attempt) await(patience time.Duration) (failure string) {
	defer a.end()
	for {
		left := time.Until(a.deadline)
		if left <= 0 {
			return a.timedOut(patience)
		}
		fds := a.fds // poll(2) passes those over that are negative
		if _, err := unix.Poll(fds[:], int(left/time.Millisecond)+1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return "poll: " + err.Error()
		}
		for _, p := range fds {
			if p.Fd < 0 || p.Revents == 0 {
				continue
			}
			if done, failure := a.step(int(p.Fd), p.Revents); done {
				return failure
			}
		}
	}
}

// readOrder decodes what the relay is told.
func readOrder() (*order.Order, error) {
	text := os.NewFile(order.Text, "order")
	defer text.Close()
	st, err := text.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the order: %w; this program is started by the launch helper alone", err)
	}
	data := make([]byte, st.Size())
	if n, err := unix.Pread(order.Text, data, 0); err != nil || n != len(data) {
		return nil, fmt.Errorf("reading the order: %d of %d bytes: %w", n, len(data), err)
	}
	return order.Decode(data)
}
