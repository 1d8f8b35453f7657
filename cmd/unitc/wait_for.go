// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/condition"
	"github.com/unitc/unitc/internal/cli/terminal"
)

func (a *app) waitFor() *cobra.Command {
	timeout := time.Duration(0)
	cmd := &cobra.Command{
		Use:   "wait-for [--timeout DURATION] CONDITION…",
		Short: "wait until something of the host is there",
		Long: `Wait until all of these are there, as a container does that has them in its
x-wait-for:, in the unit unitc-wait-NAME.service.

dns:NAME        the host's name servers know an address
tcp:HOST:PORT   a connection is taken
address:IP      an address of the host, which ports can be bound to
path:PATH       a file, a directory, a socket`,
		Example: "  unitc wait-for --timeout 1m dns:db.example.com tcp:db.example.com:5432",
		Args:    some("dns:NAME, tcp:HOST:PORT, address:IP or path:PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			ctx := context.Background()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			for _, text := range args {
				err := a.awaitCondition(ctx, text)
				var unknown *condition.UnknownError
				switch {
				case errors.As(err, &unknown):
					return usagef("wait-for: %v", err)
				case errors.Is(err, context.DeadlineExceeded):
					return fmt.Errorf("%s is not there after %s", text, timeout)
				case err != nil:
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after `DURATION`; never if 0")
	return cmd
}

func (a *app) awaitCondition(ctx context.Context, text string) error {
	began, waited := time.Now(), false
	err := condition.Await(ctx, text, func(err error) {
		waited = true
		line := terminal.Clean(fmt.Sprintf("waiting for %s: %v", text, err))
		fmt.Fprintln(a.stderr, line)
		_, _ = daemon.SdNotify(false, "STATUS="+line)
	})
	if err == nil && waited {
		fmt.Fprintf(a.stderr, "%s is there after %s\n", terminal.Clean(text), time.Since(began).Round(100*time.Millisecond))
	}
	return err
}
