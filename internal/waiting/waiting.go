// SPDX-License-Identifier: Apache-2.0

// Package waiting is for those who wait for somebody else while a container starts.
// A wait that takes long is told, so that who looks at a start that hangs sees what
// for. On the ordinary path it costs nothing: a timer of Go's would take another
// thread at each start.
package waiting

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Long is how long a wait takes before it is told, and how often it is told then.
const Long = 5 * time.Second

// Tell is to be called after each Long, from any goroutine. The helper says what it
// has said to systemd; other programs say nothing.
var Tell = func() {}

// While does what may wait, and tells. It is for waits that are seldom.
func While(do func()) {
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(Long):
				Tell()
			}
		}
	}()
	do()
}

// Flock is flock(2), again where a signal has interrupted it, as Go's own do.
func Flock(fd, how int) error {
	err := flock(fd, how|unix.LOCK_NB)
	if how&unix.LOCK_NB == 0 && errors.Is(err, unix.EWOULDBLOCK) {
		While(func() { err = flock(fd, how) })
	}
	return err
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
