// SPDX-License-Identifier: Apache-2.0

// Package condition knows whether what a start waits for (x-wait-for) is there. It
// asks as a program of the host would that is about to use it.
package condition

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// patience is how long one attempt to connect or to ask a name server may take.
const patience = 5 * time.Second

// Check is nil if the condition holds now, and says what is missing if not.
func Check(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	kind, what, _ := strings.Cut(text, ":")
	if what == "" {
		return &UnknownError{text}
	}
	switch kind {
	case definition.WaitDNS:
		_, err := new(net.Resolver).LookupHost(ctx, what)
		return err
	case definition.WaitTCP:
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", what)
		if err != nil {
			return err
		}
		return conn.Close()
	case definition.WaitAddress:
		// An address that is there and not yet checked for doubles (IPv6) cannot be
		// bound.
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", net.JoinHostPort(what, "0"))
		if err != nil {
			return err
		}
		return conn.Close()
	case definition.WaitPath:
		_, err := os.Stat(what)
		return err
	}
	return &UnknownError{text}
}

// plain leaves out of a network's error what is another at each attempt: the local
// port.
func plain(err error) error {
	var lookup *net.DNSError
	var errno unix.Errno
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return errors.New("no such host")
	case errors.As(err, &lookup):
		return errors.New("no name server answers")
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("no answer")
	}
	return err
}

// UnknownError is a text that no start can wait for.
type UnknownError struct{ Text string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%q is nothing to wait for; write dns:NAME, tcp:HOST:PORT, address:IP or path:PATH", e.Text)
}

// Await looks again and again until the condition holds, in the end every second.
// waiting is told each reason once.
func Await(ctx context.Context, text string, waiting func(error)) error {
	said := map[string]bool{}
	for wait := time.Second / 8; ; wait = min(2*wait, time.Second) {
		err := Check(ctx, text)
		if _, unknown := err.(*UnknownError); err == nil || unknown {
			return err
		}
		if err = plain(err); !said[err.Error()] && ctx.Err() == nil {
			said[err.Error()] = true
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
