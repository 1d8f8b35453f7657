// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/runtime"
)

func (a *app) plan() *cobra.Command {
	steps, calls, asJSON := false, false, false
	cmd := &cobra.Command{
		Use:   "plan [--steps [--calls]] NAME",
		Short: "print what a start would launch",
		Long: `Print what a start would launch, as JSON: the OCI configuration that confines the
payload, its root file system and its scope. With --steps, print the steps of
the launch in their order, each with its exit status and its reason; with
--calls, print the system calls of each step too. Nothing is carried out.`,
		Args:              exactly(1, "one name"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.build(args[0])
			if err != nil {
				return err
			}
			if !steps && !calls {
				return a.printJSON(p)
			}
			list, err := runtime.Describe(p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Unit, err)
			}
			if !calls {
				for i := range list {
					list[i].Calls = nil
				}
			}
			if asJSON {
				return a.printJSON(list)
			}
			return writeSteps(terminal.Of(a.stdout), list, calls)
		},
	}
	cmd.Flags().BoolVar(&steps, "steps", false, "print the steps of the launch")
	cmd.Flags().BoolVar(&calls, "calls", false, "print the system calls of each step")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the steps as JSON")
	return cmd
}

func (a *app) spec() *cobra.Command {
	return &cobra.Command{
		Use:   "spec NAME",
		Short: "print the OCI runtime configuration (config.json)",
		Long: `Print the config.json of the OCI runtime specification that a start would use,
with the user looked up in the root file system: "bundle:" and "unitc run --bundle" run
it again. Where root.path alone cannot say what the root file system is made of, an
annotation does. Files that a start writes below /run/unitc are left out.`,
		Args:              exactly(1, "one name"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.build(args[0])
			if err != nil {
				return err
			}
			if _, err := runtime.Describe(p); err != nil {
				return fmt.Errorf("%s: %w", p.Unit, err)
			}
			if err := planner.Export(p); err != nil {
				return err
			}
			return a.printJSON(p.Spec)
		},
	}
}

// build makes the plan of a definition with this host's facts.
func (a *app) build(name string) (*plan.Plan, error) {
	found, err := catalog.Find(a.root, name)
	if err != nil {
		return nil, err
	}
	s, err := found.One()
	if err != nil {
		return nil, err
	}
	p, err := launch.Plan(s)
	var key *planner.KeyError
	if errors.As(err, &key) {
		return nil, &catalog.BrokenError{Problems: diag.List{s.Problem(key.Key, key.What, key.Cure)}}
	}
	return p, err
}

// whyColumn is where the reasons begin.
const whyColumn = 36

// writeSteps prints the table of steps. Reasons are wrapped below each other on
// a terminal and stand on one line elsewhere.
func writeSteps(w terminal.Screen, list []runtime.StepDescription, calls bool) error {
	number := 0
	half := true
	for _, s := range list {
		if half != s.Inner {
			half = s.Inner
			title := "In the helper, on the host:"
			if s.Inner {
				title = "In the payload's first process, inside its namespaces:"
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, w.Paint(terminal.Strong, title))
		}
		if !s.Applies {
			fmt.Fprintln(w, w.Paint(terminal.Faint, fmt.Sprintf("   -  %-24s      not needed here", s.Name)))
			continue
		}
		number++
		lines := terminal.Wrap(s.Why, w.Width-whyColumn)
		line := fmt.Sprintf("%4d  %-24s %3d  %s", number, s.Name, s.Exit, strings.Join(lines[:1], ""))
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
		for _, more := range lines[1:] {
			fmt.Fprintln(w, strings.Repeat(" ", whyColumn)+more)
		}
		if calls {
			for _, c := range s.Calls {
				fmt.Fprintln(w, "\t"+terminal.Clean(c))
			}
		}
	}
	_, err := fmt.Fprintln(w, "\n"+strconv.Itoa(number)+" steps. The number behind a step is the exit status when it fails (systemd.exec(5)).")
	return err
}
