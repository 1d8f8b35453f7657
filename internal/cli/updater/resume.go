// SPDX-License-Identifier: Apache-2.0

package updater

import (
	"context"
	"errors"
	"fmt"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// resume goes on with updates that did not end: who was killed while it watched an
// image left its containers to that, and those that have failed since run no image
// by which they would be found.
func (u *Updater) resume(ctx context.Context, all []Container) error {
	names, err := u.Store.Names()
	if err != nil {
		return err
	}
	running, err := u.Store.Running()
	if err != nil {
		return err
	}
	for _, c := range all {
		running[c.Unit] = c.Running
	}
	var errs []error
	seen := map[string]bool{}
	for _, n := range names {
		t := n.Trial
		if t == nil || seen[t.Name+" "+t.Platform] {
			continue
		}
		seen[t.Name+" "+t.Platform] = true // a short name has a file of its own
		o, err := u.resumeOne(ctx, n, running)
		if err != nil {
			o.Result, o.Error = Failed, err.Error()
		}
		if o.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s: %s", t.Name, o.Result, o.Error))
		}
		if len(o.Units) > 0 {
			u.Report(o)
		}
	}
	return errors.Join(errs...)
}

func (u *Updater) resumeOne(ctx context.Context, n store.Name, running map[string]string) (Outcome, error) {
	t := n.Trial
	o := Outcome{Image: t.Name, Result: Updated, From: n.Previous, To: n.Image}
	ref, err := reference.Parse(t.Name)
	if err != nil {
		return o, err
	}
	ref.Platform = reference.Foreign(t.Platform)
	// After a boot they may be on their way still.
	if err := u.Systemd.AwaitJobs(ctx, t.Units); err != nil {
		return o, err
	}
	// Those that somebody has stopped since stay so, and those that were not restarted
	// yet are outdated still.
	var bad error
	for _, unit := range t.Units {
		if is := running[unit]; is != "" && is != n.Image {
			continue
		}
		ended, err := u.Systemd.Watch(ctx, []string{unit}, 0)
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		if bad = errors.Join(bad, err); err != nil || len(ended) == 0 {
			o.Units = append(o.Units, unit)
		}
	}
	if bad == nil && len(o.Units) > 0 {
		o.Ended, bad = u.Systemd.Watch(ctx, o.Units, u.Settle)
	}
	switch {
	case ctx.Err() != nil:
		return o, ctx.Err()
	case bad != nil && u.Systemd.Stopping(ctx):
		return o, fmt.Errorf("%w: %w", errStopping, bad)
	case bad == nil && n.Previous != "":
		return o, u.endTrial(ref)
	case n.Previous != "":
		return u.goBack(ctx, &group{ref: ref, name: t.Name, platform: t.Platform}, o, bad, t.Dependents), nil
	}
	// It was on its way back.
	o.Result = RolledBack
	if bad != nil {
		o.Ended, err = u.restart(ctx, o.Units)
	}
	return o, errors.Join(err, u.revive(ctx, t.Dependents), u.endTrial(ref))
}

func (u *Updater) endTrial(ref reference.Reference) error {
	return u.Store.ChangeName(ref, func(n *store.Name) { n.Trial = nil })
}
