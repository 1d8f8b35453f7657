// SPDX-License-Identifier: Apache-2.0

// Package rollout puts restarts into an order in which a service with several
// instances goes on: some of them are restarted, and only when these are up and have
// stayed so the next ones. How many, and how long, deploy.update_config says
// (Compose Deploy Specification). It restarts nothing itself.
package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

// defaultMonitor is Swarm's (defaultMonitor in swarmkit's updater).
const defaultMonitor = 5 * time.Second

// Unit is one that is to be restarted.
type Unit struct {
	Name    string // blog-web-1.service
	Service *definition.Service
	// Checked is true if systemd takes it for started only when a check has succeeded.
	Checked bool
}

// IsChecked tells whether a definition has a check that makes its units active.
func IsChecked(s *definition.Service) bool {
	switch s.System.Notify {
	case definition.NotifyStarted:
		return false
	case definition.NotifyContainer, definition.NotifyHealthy:
		return true
	}
	return s.System.Probe != nil || s.Healthcheck != nil && len(s.Healthcheck.Test) > 1 && !s.Healthcheck.Disable
}

// Step is what is restarted together.
type Step struct {
	// Others are no instances of anything; they belong to the first step. What an
	// instance requires is among them, so they come before it.
	Others []string
	// Delay is how long to wait before the instances.
	Delay     time.Duration
	Instances []string
	// Monitor is how long they must stay up before the next step. If one does not,
	// there is none, unless Continue.
	Monitor  time.Duration
	Continue bool
}

// Steps are all restarts, in the order of the units.
func Steps(units []Unit) []Step {
	var services [][]Unit
	for _, u := range units {
		i := slices.IndexFunc(services, func(s []Unit) bool { return isInstanceOf(u.Service, s[0].Service) })
		if i < 0 {
			services = append(services, nil)
			i = len(services) - 1
		}
		services[i] = append(services[i], u)
	}
	steps := []Step{{Continue: true}}
	for _, instances := range services {
		if instances[0].Service.Instances() == 1 {
			steps[0].Others = append(steps[0].Others, instances[0].Name)
			continue
		}
		slices.SortStableFunc(instances, byNumber)
		groups := slices.Collect(slices.Chunk(instances, parallelism(instances[0].Service, len(instances))))
		for at, group := range groups {
			if at == len(steps) {
				steps = append(steps, Step{Continue: true})
			}
			steps[at].add(group, at > 0, at < len(groups)-1)
		}
	}
	return steps
}

// isInstanceOf: they are of one key of one project.
func isInstanceOf(a, b *definition.Service) bool {
	return a.Instances() > 1 && a.Project == b.Project && a.Key == b.Key && a.Source.File == b.Source.File
}

// byNumber has web-2 before web-10.
func byNumber(a, b Unit) int {
	if d := len(a.Name) - len(b.Name); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}

func parallelism(s *definition.Service, all int) int {
	switch {
	case s.Rollout == nil || s.Rollout.Parallelism == nil:
		return 1
	case *s.Rollout.Parallelism == 0:
		return all
	}
	return *s.Rollout.Parallelism
}

// add makes some of a service's instances part of the step.
func (s *Step) add(group []Unit, follows, more bool) {
	r := group[0].Service.Rollout
	if r == nil {
		r = &definition.Rollout{}
	}
	if follows {
		s.Delay = max(s.Delay, r.Delay)
	}
	for _, u := range group {
		s.Instances = append(s.Instances, u.Name)
		if !more {
			continue
		}
		s.Continue = s.Continue && r.Continue
		switch {
		case r.Monitor != nil:
			s.Monitor = max(s.Monitor, *r.Monitor)
		case !u.Checked:
			s.Monitor = max(s.Monitor, defaultMonitor)
		}
	}
}
