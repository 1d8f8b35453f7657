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
	if len(list) == 0 {
		return nil
	}
	before := map[string]string{}
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
		before[u.Name] = invocation.ID(u.Name)
	}
	unsteady, err := a.unsteady(names)
	if err != nil {
		return err
	}
	isNew := func(unit string) bool {
		id := invocation.ID(unit)
		return id != "" && id != before[unit]
	}
	steps := rollout.Steps(list)
	for i, step := range steps {
		if len(step.Others) > 0 {
			if failed = a.restartAll(step.Others, unsteady); failed == nil {
				a.tellRestarted(step.Others)
			}
		}
		time.Sleep(step.Delay)
		err := a.replace(step, isNew, unsteady)
		if err == nil {
			a.tellRestarted(step.Instances)
			continue
		}
		a.complain(err)
		failed = cmp.Or[error](failed, statusError(exitFailed))
		if i < len(steps)-1 && !step.Continue {
			var left []string
			for _, s := range steps[i+1:] {
				left = append(left, s.Instances...)
			}
			a.remark("left as they are: %s; correct the definition, and `unitc apply` goes on", strings.ReplaceAll(strings.Join(left, ", "), ".service", ""))
			return failed
		}
	}
	return failed
}

// restartAll restarts what runs of these, and starts what was seen to be unsteady: that
// may have failed for good meanwhile.
func (a *app) restartAll(list, unsteady []string) error {
	unsteady = slices.DeleteFunc(slices.Clone(unsteady), func(unit string) bool { return !slices.Contains(list, unit) })
	if len(unsteady) == 0 {
		return a.systemctl(append([]string{"try-restart", "--"}, list...)...)
	}
	// Starts of the loop do not count against what is to end it.
	if err := a.systemctl(append([]string{"reset-failed", "--"}, unsteady...)...); err != nil {
		return err
	}
	return a.systemctl(append([]string{"restart", "--"}, list...)...)
}

func (a *app) tellRestarted(units []string) {
	for _, unit := range units {
		fmt.Fprintf(a.stdout, "%s: restarted\n", strings.TrimSuffix(unit, ".service"))
	}
}

// replace restarts instances, and ends when the next ones may follow.
func (a *app) replace(step rollout.Step, isNew func(unit string) bool, unsteady []string) error {
	if len(step.Instances) == 0 {
		return nil
	}
	ctx := context.Background() // a start takes as long as systemd lets it
	jobs, err := units.ConnectJobs(ctx)
	if err != nil {
		return err
	}
	defer jobs.Close()
	// Where what one requires has been restarted, systemd has restarted it as well.
	if err := jobs.AwaitJobs(ctx, step.Instances); err != nil {
		return err
	}
	// But for those that did not stay up: systemd may have started one once more by itself.
	again := slices.DeleteFunc(slices.Clone(step.Instances), func(unit string) bool { return isNew(unit) && !slices.Contains(unsteady, unit) })
	if err := jobs.RestartAll(ctx, again, unsteady); err != nil {
		return err
	}
	_, err = jobs.Watch(ctx, step.Instances, step.Monitor)
	return err
}
