// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/session"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/postmortem"
)

// attachOptions are docker attach's.
type attachOptions struct {
	noInput, proxy bool
	keys           string
}

func (a *app) attach() *cobra.Command {
	o := attachOptions{proxy: true, keys: "ctrl-p,ctrl-q"}
	cmd := &cobra.Command{
		Use:   "attach [OPTION…] NAME",
		Short: "join the terminal or the streams of a container",
		Long: `Join the terminal of a container whose definition has tty: true, or the input and
output of one with stdin_open: true. Others may have joined it, too, and the
journal gets all of the output in any case; of a container that has neither the
output alone is shown, as the journal gets it. On a terminal the keys of
--detach-keys let go of it, and it goes on; signals are for the container. The exit
status is the container's when it ends, 0 after the keys.`,
		Example:           "  unitc attach game\n  echo save-all | unitc attach --detach-keys '' game",
		Args:              exactly(1, "the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := session.DetachKeys(o.keys)
			if err != nil {
				return usagef("attach: --detach-keys: %w", err)
			}
			status, err := a.attachTo(cmd, args[0], o, keys)
			switch {
			case errors.Is(err, session.ErrHangup):
				return statusError(128 + int(unix.SIGHUP))
			case errors.Is(err, session.ErrDetached):
				return nil
			case err == nil && status != 0:
				return statusError(status)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.noInput, "no-stdin", false, "pass no standard input on")
	f.BoolVar(&o.proxy, "sig-proxy", true, "pass signals on; else an interrupt lets go of it")
	f.StringVar(&o.keys, "detach-keys", o.keys, "let go of it by `KEYS`; none if empty")
	return cmd
}

// attachTo stays until the container ends or is let go of.
func (a *app) attachTo(cmd *cobra.Command, word string, o attachOptions, keys []byte) (int, error) {
	name, pid := "", 0
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		name, pid, err = a.running(ctx, bus, word)
		return err
	})
	if err != nil {
		return 0, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, fmt.Errorf("%s has ended: %w", name, err)
	}
	defer unix.Close(pidfd)
	forward := func(s unix.Signal) { _ = unix.PidfdSendSignal(pidfd, s, nil, 0) }
	if !o.proxy {
		forward = nil
	}
	end, ended := make(chan result, 1), make(chan struct{})
	go func() {
		err := awaitEnd(pid)
		close(ended)
		r := result{err: err}
		if err == nil {
			r.status, r.err = a.endOf(cmd, name, pid)
		}
		end <- r
	}()
	to, err := session.Attach(a.host.AttachSocket(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = a.followOutput(name, &session.Follower{Ended: ended, Forward: forward})
		if errors.Is(err, session.ErrJournald) {
			fmt.Fprintf(a.stderr, "unitc: %v\n", err)
			err = nil
		}
	case err != nil:
		err = fmt.Errorf("%s: %w", name, err)
	default:
		err = a.join(to, o, keys, forward)
	}
	if err != nil {
		return 0, err
	}
	r := <-end
	return r.status, r.err
}

func (a *app) join(to *session.Attachment, o attachOptions, keys []byte, forward func(unix.Signal)) error {
	to.Keys, to.Forward = keys, forward
	own := session.Streams{Out: a.stdout, Err: a.stderr}
	if in, ok := a.stdin.(*os.File); ok && !o.noInput {
		own.In = in
	}
	return to.Run(own)
}

// followOutput shows what a container writes that has no streams to join.
func (a *app) followOutput(name string, f *session.Follower) error {
	const why = "its definition has neither tty: nor stdin_open:"
	if s, err := a.host.Definition(name); err == nil && s.Logging.Driver == definition.LogNone {
		return fmt.Errorf("%s has nothing to join: %s, and with logging: {driver: none} nobody has its output; unitc exec -it %s sh runs a shell in it", name, why, name)
	}
	f.Without = []string{postmortem.MessageID, journal.HealthID}
	now := units.ReadClock()
	f.Since, f.At, f.Units = now.Wall, now.Monotonic, []string{name + ".service", units.ScopeOf(name)}
	fmt.Fprintf(a.stderr, "unitc: %s takes no input, as %s; this is its output\n", name, why)
	return f.Run(a.stdout)
}
