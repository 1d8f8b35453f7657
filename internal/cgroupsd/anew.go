// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// When systemd is executed again (systemctl daemon-reexec, an update of its
// package) nobody listens at its private socket until its generators have run and
// its units are loaded. Connections that there were stay open until then, and end.

// AnewPatience is how long systemd may take to begin anew.
const AnewPatience = 30 * time.Second

// anewPause is between two tries.
const anewPause = 20 * time.Millisecond

// HungUp tells of an error whether it is the end of the connection. Answers are
// written as soon as there are any: a question without one was not looked at.
func HungUp(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, dbus.ErrClosed, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// BeginsAnew tells of an error whether it is that of a PID 1 that does not listen
// for the moment, or has ended the connection.
func BeginsAnew(err error) bool { return HungUp(err) || errors.Is(err, unix.ECONNREFUSED) }

// Patiently tries again while systemd begins anew.
func Patiently(ctx context.Context, try func() error) error {
	err := try()
	for deadline := time.Now().Add(AnewPatience); BeginsAnew(err) && time.Now().Before(deadline); err = try() {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(anewPause):
		}
	}
	return err
}
