// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
)

// topRow is a container with its processes.
type topRow struct {
	Name      string         `json:"name"`
	Processes []live.Process `json:"processes"`
}

func (a *app) top() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "top [--json] [NAME…]",
		Short: "list the processes of containers",
		Long: `List the processes of running containers, of all without a name: their numbers on the
host and inside, the user inside, processor time since their start, memory that is
resident, and the command. unitc stats shows what containers use, again and again.`,
		ValidArgsFunction: a.completeRunning,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 && slices.Contains([]string{"aux", "auxf", "auxw", "auxww", "ax", "axf", "u"}, args[1]) {
				return usagef("top %s: %s", args[1], ownColumns) // docker top takes options of ps(1)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, err := a.topRows(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(rows)
			}
			return a.writeTop(rows)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) topRows(cmd *cobra.Command, words []string) ([]topRow, error) {
	rows := []topRow{}
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		names, err := a.host.Names()
		if err == nil && len(words) == 0 {
			err = a.host.Permitted()
		}
		if err == nil && len(words) > 0 {
			names, err = a.targets(ctx, bus, words)
		}
		if err != nil {
			return err
		}
		if len(words) > 0 {
			names = a.thoseThatRun(ctx, bus, names)
		}
		payloads := a.host.Payloads(names, units.ScopeOf)
		for _, name := range names {
			pid, err := units.MainPID(ctx, bus, name+".service")
			if err == nil && (pid == 0 || payloads[name] == "") {
				err = a.notRunning(ctx, bus, name)
			}
			var ended *units.NotRunningError
			if len(words) == 0 && errors.As(err, &ended) {
				continue // meanwhile
			}
			if err != nil {
				return err
			}
			row := topRow{Name: name}
			if row.Processes, err = a.host.Top(payloads[name], pid); err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

func (a *app) writeTop(rows []topRow) error {
	t := terminal.Table{Header: []string{"UNIT", "PID", "INSIDE", "USER", "STATE", "CPU", "MEMORY", "SINCE", "COMMAND"}, Shrink: []int{8, 0}, Drop: []int{4, 7, 6, 5}}
	for _, row := range rows {
		for _, p := range row.Processes {
			user := p.User
			if user == "" {
				user = "-"
				if p.UID >= 0 {
					user = strconv.FormatInt(p.UID, 10)
				}
			}
			inside := "-"
			if p.Inside > 0 {
				inside = strconv.Itoa(p.Inside)
			}
			t.Add(row.Name, strconv.Itoa(p.PID), inside, user, p.State, processorTime(p.CPU), size(p.Memory), ago(p.Started, a.now()), strings.Join(p.Command, " "))
		}
	}
	return t.Write(terminal.Of(a.stdout))
}
