// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/diagram"
	"github.com/unitc/unitc/internal/cli/units"
)

func (a *app) boot() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "boot [--json] [NAME…]",
		Short: "draw when containers started, and what took how long",
		Long: `Draw the last start of each container since the boot as an SVG, in its phases:
setting up (until the payload is in its scope), waiting until ready, running. It is
systemd-analyze plot for containers.`,
		Example:           "  unitc boot > boot.svg",
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var p *diagram.Plot
			err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
				p, err = a.plotOf(ctx, bus, args)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(p)
			}
			if err := a.refuseTerminal("boot"); err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, p.SVG())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the times as JSON")
	return cmd
}

func (a *app) plotOf(ctx context.Context, bus units.Bus, words []string) (*diagram.Plot, error) {
	generated, err := units.ListGenerated(a.unitDir)
	if err != nil {
		return nil, err
	}
	q := units.Question{Host: a.host}
	if len(words) > 0 {
		if q.Names, err = a.targets(ctx, bus, words); err != nil {
			return nil, err
		}
	}
	list, err := units.List(ctx, bus, generated, q)
	if err != nil {
		return nil, fmt.Errorf("asking systemd for units: %w", err)
	}
	p := &diagram.Plot{Title: "Containers since the boot", Bars: []diagram.Bar{}}
	p.Userspace, p.Finished = a.managerTime(bus, "UserspaceTimestampMonotonic"), a.managerTime(bus, "FinishTimestampMonotonic")
	for _, u := range list {
		t := units.TimesOf(ctx, bus, u.Name)
		if t.Begun == 0 {
			continue
		}
		p.Bars = append(p.Bars, diagram.Bar{Name: u.Name, State: u.State, Begun: t.Begun, Launched: t.Launched, Ready: t.Ready, Ended: t.Ended})
	}
	return p, nil
}

// managerTime is 0 for what has not happened yet.
func (a *app) managerTime(bus units.Bus, name string) time.Duration {
	text, err := bus.GetManagerProperty(name)
	if err != nil {
		return 0
	}
	// As D-Bus writes values: "@t 123".
	usec, _ := strconv.ParseInt(strings.TrimPrefix(text, "@t "), 10, 64)
	return time.Duration(usec) * time.Microsecond
}
