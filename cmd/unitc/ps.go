// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
)

func (a *app) ps() *cobra.Command {
	all, asJSON, quiet, format := false, false, false, "table"
	var filters []string
	cmd := &cobra.Command{
		Use:   "ps [OPTION…] [NAME…]",
		Short: "list containers and their states",
		Long: `List containers as systemd sees them: those that run, are being started or
stopped, or have failed; with --all or a name the stopped ones too.`,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			// It is over before what it leaves in memory is worth collecting.
			debug.SetGCPercent(400)
			switch format {
			case "table":
			case "json":
				asJSON = true
			default:
				return usagef("ps --format %s: write table or json; jq(1) chooses of it: unitc ps --json | jq -r '.[].name'", format)
			}
			keep, ofState, err := parseFilters(filters)
			if err != nil {
				return err
			}
			q := units.Question{MainPID: asJSON}
			if len(args) == 0 && !all && !ofState {
				q.Wanted = func(state string) bool { return state != "stopped" }
			}
			list, err := a.listUnits(cmd, q)
			if err != nil {
				return err
			}
			if list, err = selectUnits(list, args); err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(u units.Unit) bool { return !keep(u) })
			// A network's unit only keeps it without containers: one that is not
			// active says nothing of the network, and unitc network ls does.
			list = slices.DeleteFunc(list, func(u units.Unit) bool {
				return u.State == "stopped" && strings.HasPrefix(u.Name, definition.NetworkUnit) && !slices.Contains(args, u.Name)
			})
			switch {
			case asJSON:
				return a.printJSON(list)
			case quiet:
				for _, u := range list {
					fmt.Fprintln(a.stdout, u.Name)
				}
				return nil
			}
			if err := writeUnits(terminal.Of(a.stdout), list, a.now()); err != nil || len(list) > 0 || a.user {
				return err
			}
			return a.nameOwn()
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&all, "all", "a", false, "list the stopped ones too")
	jsonFlag(cmd, &asJSON)
	f.BoolVarP(&quiet, "quiet", "q", false, "print names only")
	f.StringArrayVarP(&filters, "filter", "f", nil, "list those alone that have `KEY=VALUE`: name, status or health")
	f.StringVar(&format, "format", format, "print in `FORMAT`: table or json")
	return cmd
}

// statesOf are Docker's words for states, where they are not ours.
var statesOf = map[string][]string{"exited": {"exited", "stopped", "failed"}, "dead": {"failed"}, "created": {"waiting", "starting"}, "removing": {"stopping"}}

// parseFilters reads filters as docker ps does: of one key any, of several keys all must
// hold. ofState says that a state is asked for: then stopped ones are listed, too.
func parseFilters(filters []string) (keep func(units.Unit) bool, ofState bool, err error) {
	by := map[string][]string{}
	for _, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			return nil, false, usagef("ps --filter %s: want KEY=VALUE", f)
		case key == "status":
			states := statesOf[value]
			if states == nil {
				states = []string{value}
			}
			for _, state := range states {
				if _, known := stateColour[state]; !known {
					return nil, false, usagef("ps --filter %s: no such state; want one of %s", f, strings.Join(slices.Sorted(maps.Keys(stateColour)), ", "))
				}
			}
			by[key], ofState = append(by[key], states...), true
		case key == "health" && !slices.Contains(healths, value):
			return nil, false, usagef("ps --filter %s: want one of %s", f, strings.Join(healths, ", "))
		case key == "name", key == "health":
			by[key] = append(by[key], value)
		default:
			return nil, false, usagef("ps --filter %s: filters are name, status and health; jq(1) chooses by all else: unitc ps --json | jq", f)
		}
	}
	return func(u units.Unit) bool {
		health, _, _ := strings.Cut(u.Health, ":")
		return (by["name"] == nil || slices.ContainsFunc(by["name"], func(part string) bool { return strings.Contains(u.Name, part) })) &&
			(by["status"] == nil || slices.Contains(by["status"], u.State)) &&
			(by["health"] == nil || slices.Contains(by["health"], health) || slices.Contains(by["health"], healthOf(u)))
	}, ofState, nil
}

var healths = []string{"healthy", "unhealthy", "starting", "failing", "none"}

// healthOf is what checks have found in Docker's words: what fails is healthy until
// it has failed often enough.
func healthOf(u units.Unit) string {
	switch health, _, _ := strings.Cut(u.Health, ":"); health {
	case "":
		return "none"
	case "failing":
		return "healthy"
	default:
		return health
	}
}

func (a *app) listUnits(cmd *cobra.Command, q units.Question) (list []units.Unit, err error) {
	q.Host = a.host
	err = a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		generated, err := units.ListGenerated(a.unitDir)
		if err != nil {
			return err
		}
		if list, err = units.List(ctx, bus, generated, q); err != nil {
			return fmt.Errorf("asking systemd for units: %w", err)
		}
		return nil
	})
	return list, err
}

// selectUnits keeps the named units. A project's name means its services, a
// template's its instances.
func selectUnits(list []units.Unit, names []string) ([]units.Unit, error) {
	kept := []units.Unit{}
	if len(names) == 0 {
		return append(kept, list...), nil
	}
	for _, name := range names {
		stem := units.Stem(name)
		before := len(kept)
		for _, u := range list {
			if u.Name == stem || strings.HasSuffix(u.Definition, "/"+stem+".yaml") {
				kept = append(kept, u)
			}
		}
		if len(kept) == before {
			return nil, unknownUnit(name, stem, list)
		}
	}
	slices.SortFunc(kept, func(a, b units.Unit) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(kept, func(a, b units.Unit) bool { return a.Name == b.Name }), nil
}

func unknownUnit(name, stem string, list []units.Unit) error {
	var known []string
	for _, u := range list {
		known = append(known, u.Name)
	}
	return &catalog.NotFoundError{Name: name, Nearest: compose.Nearest(stem, known), None: len(known) == 0}
}

// stateColour of a state's word.
var stateColour = map[string]terminal.Colour{
	"running": terminal.Good, "paused": terminal.Warn, "waiting": terminal.Warn, "starting": terminal.Warn, "restarting": terminal.Warn, "stopping": terminal.Warn,
	"failed": terminal.Bad, "stopped": terminal.Faint, "exited": terminal.Plain,
}

func writeUnits(w terminal.Screen, list []units.Unit, now time.Time) error {
	t := terminal.Table{Header: []string{"UNIT", "STATE", "SINCE", "CPU", "MEMORY", "IMAGE", "PORTS"}, Shrink: []int{5, 6, 0}, Drop: []int{5, 6, 3, 4, 2}}
	for _, u := range list {
		state := u.State
		if u.Result != "" && u.Result != "success" {
			state += " (" + u.Result
			if u.ExitStatus != 0 {
				state += fmt.Sprintf(" %d", u.ExitStatus)
			}
			state += ")"
		}
		colour := stateColour[u.State]
		if health, _, _ := strings.Cut(u.Health, ":"); health != "" && u.State == "running" {
			state += " (" + health + ")"
			if health != "healthy" {
				colour = terminal.Bad
			}
		}
		memory := size(u.Memory)
		if u.MemoryLimit != 0 {
			memory += "/" + size(u.MemoryLimit)
		}
		t.Add(u.Name, state, ago(u.Since, now), processorTime(u.CPU), memory, orDash(u.Image), orDash(strings.Join(u.Ports, " ")))
		t.Rows[len(t.Rows)-1][1].Colour = colour
	}
	return t.Write(w)
}

// processorTime as systemctl status rounds it.
func processorTime(usec uint64) string {
	d := time.Duration(usec) * time.Microsecond
	switch {
	case d == 0:
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dmin %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh %dmin", int(d.Hours()), int(d.Minutes())%60)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago is a time as the largest whole unit. One to come is of a clock that was ahead, or
// of one that was set back since, and nobody knows how long ago it was.
func ago(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case t.After(now.Add(time.Minute)):
		return t.Format("2006-01-02 15:04")
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dmin ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// size is bytes with one decimal below ten, as systemctl status has them.
func size(n uint64) string {
	if n == 0 {
		return "-"
	}
	value, units := float64(n), "BKMGTP"
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}
	if value < 10 && units[0] != 'B' {
		return fmt.Sprintf("%.1f%c", value, units[0])
	}
	return fmt.Sprintf("%.0f%c", value, units[0])
}
