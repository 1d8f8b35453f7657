// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// inspected is all that is known of a container.
type inspected struct {
	units.Unit
	Scope     string              `json:"scope,omitempty"`
	Cgroup    string              `json:"cgroup,omitempty"` // of the payload
	Processes []int               `json:"processes,omitempty"`
	Usage     *live.Usage         `json:"usage,omitempty"`
	Checks    *live.HealthState   `json:"health_state,omitempty"`
	Launched  *definition.Service `json:"launched,omitempty"` // the definition that runs
	Plan      *plan.Plan          `json:"plan,omitempty"`
}

func (a *app) inspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect NAME…",
		Short: "print what is known of containers or images, as JSON",
		Long: `Print what is known of containers, or else of images of these names, as JSON: the
state in systemd, the processes, what they use, the last health checks, the definition
and the plan that were launched. Only root may read the latter: they hold the values of variables.`,
		Args:              some("the name of a container or of an image"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := []any{}
			for _, word := range args {
				found, err := a.inspectWord(cmd, word)
				if err != nil {
					return err
				}
				out = append(out, found...)
			}
			return a.printJSON(out)
		},
	}
}

func (a *app) inspectWord(cmd *cobra.Command, word string) ([]any, error) {
	var found []any
	err := error(units.ErrNoSystemd)
	if a.root == "" {
		found, err = a.inspectContainers(cmd, word)
	}
	var notFound *catalog.NotFoundError
	if err == nil || !errors.As(err, &notFound) && !errors.Is(err, units.ErrNoSystemd) {
		return found, err
	}
	s, storeErr := a.openStore()
	if storeErr != nil {
		return nil, err
	}
	img, imageErr := s.Resolve(word)
	if imageErr != nil {
		if errors.As(err, &notFound) {
			return nil, fmt.Errorf("%w, and no image: %w", err, imageErr)
		}
		return nil, imageErr
	}
	return []any{img}, nil
}

func (a *app) inspectContainers(cmd *cobra.Command, word string) (out []any, err error) {
	var names []string
	err = a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		names, err = a.targets(ctx, bus, []string{word})
		return err
	})
	if err != nil {
		return nil, err
	}
	list, err := a.listUnits(cmd, units.Question{MainPID: true, Names: names})
	if err != nil {
		return nil, err
	}
	payloads := a.host.Payloads(names, units.ScopeOf)
	for _, u := range list {
		i := inspected{Unit: u, Cgroup: payloads[u.Name]}
		if i.Cgroup != "" {
			usage := a.host.Usage(i.Cgroup)
			i.Usage = &usage
			i.Processes, _ = live.Processes(i.Cgroup)
		}
		// What is not there, or not ours to read, is left out.
		i.Checks = a.host.HealthState(u.Name, healthOf(u))
		i.Launched, _ = a.host.Definition(u.Name)
		if i.Launched != nil {
			i.Launched.Source.Lines = definition.Lines{}
		}
		if i.Plan, _ = a.host.Plan(u.Name); i.Plan != nil && i.Plan.Scope != nil {
			i.Scope = i.Plan.Scope.Name
		}
		out = append(out, i)
	}
	return out, nil
}
