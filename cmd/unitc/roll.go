// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cli/rollout"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/plan"
)

// replaceable is a container that is to be restarted, as it will be.
func (d *difference) replaceable() rollout.Unit {
	checked := rollout.IsChecked(d.file) || d.planned != nil && d.planned.Ready == plan.ReadyHealthy // the image's check
	return rollout.Unit{Name: d.Name + ".service", Service: d.file, Checked: checked}
}

// roll restarts what runs of these: all at once, but the instances of one service one
// after the other. Behind one that does not stay up the others are left as they were.
func (a *app) roll(list []rollout.Unit) (failed error) {
	before := map[string]string{}
	for _, u := range list {
		before[u.Name] = invocation.ID(u.Name)
	}
	steps := rollout.Steps(list)
	for i, step := range steps {
		time.Sleep(step.Delay)
		// What one of them requires has been restarted, and with it the other one.
		old := slices.DeleteFunc(slices.Clone(step.Units), func(unit string) bool {
			id := invocation.ID(unit)
			return id != "" && id != before[unit]
		})
		if len(old) > 0 {
			failed = cmp.Or(failed, a.systemctl(append([]string{"try-restart", "--"}, old...)...))
		}
		err := a.stayUp(step)
		if err == nil {
			continue
		}
		a.complain(err)
		failed = cmp.Or[error](failed, statusError(exitFailed))
		if !step.Continue {
			var left []string
			for _, s := range steps[i+1:] {
				left = append(left, s.Units...)
			}
			fmt.Fprintf(a.stderr, "left as they are: %s; correct the definition, and `unitc apply` goes on\n", strings.ReplaceAll(strings.Join(left, ", "), ".service", ""))
			return failed
		}
	}
	return failed
}

// stayUp waits until the next instances may follow.
func (a *app) stayUp(step rollout.Step) error {
	if len(step.Instances) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), step.Monitor+busTimeout)
	defer cancel()
	jobs, err := units.ConnectJobs(ctx)
	if err != nil {
		return err
	}
	defer jobs.Close()
	_, err = jobs.Watch(ctx, step.Instances, step.Monitor)
	return err
}
