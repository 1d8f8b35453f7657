// SPDX-License-Identifier: Apache-2.0

// Package updater brings running containers to newer images, and back to the
// ones they had when those do not start. What is kept for that lies in the
// store, with the name of the image; systemd tells what runs.
package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cli/rollout"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// Container is one that runs an image.
type Container struct {
	Unit    string // web.service
	Service *definition.Service
	Running string // digest of the image that it runs, "" = not known
}

// Systemd is what is asked of it.
type Systemd interface {
	// Start and Restart end with their job; an error says how it failed.
	Start(ctx context.Context, unit string) error
	Restart(ctx context.Context, unit string) error
	// Watch returns an error as soon as a unit fails or is started again by
	// itself, and after the given time those that have ended well.
	Watch(ctx context.Context, units []string, settle time.Duration) (ended []string, err error)
	// Dependents are the active units that a restart of these takes down.
	Dependents(ctx context.Context, units []string) ([]string, error)
	IsActive(ctx context.Context, unit string) (bool, error)
	// AwaitJobs ends when none of these units is on its way up or down.
	AwaitJobs(ctx context.Context, units []string) error
	// Stopping is true from the moment that a shutdown has begun.
	Stopping(ctx context.Context) bool
}

// Registry brings images.
type Registry interface {
	// Newest is the digest that a name means in the registry.
	Newest(ctx context.Context, name, platform string) (string, error)
	// Pull brings it; for later, the name keeps its meaning.
	Pull(ctx context.Context, name, platform string, later bool) (store.Image, error)
}

// Updater is one run.
type Updater struct {
	Store    *store.Store
	Systemd  Systemd
	Registry Registry
	DryRun   bool
	// Named are containers that somebody asked for: all of them are restarted,
	// however far their definitions have an update go by itself.
	Named bool
	// ResumeOnly goes on with updates that did not end, and begins none.
	ResumeOnly bool
	// Retry tries an image again from which there was a way back.
	Retry bool
	// Settle is how long a container must stay up to be an update.
	Settle time.Duration
	Report func(Outcome)
}

// What happened to the containers of one image.
const (
	UpToDate   = "up to date"
	Pending    = "newer image" // that nothing is done about
	Fetched    = "newer image fetched"
	Updated    = "updated"
	RolledBack = "rolled back"
	Rejected   = "newer image was rejected"
	Failed     = "failed"
)

// Outcome is what happened to the containers of one image.
type Outcome struct {
	Image  string   `json:"image"`
	Units  []string `json:"units"`
	Result string   `json:"result"`
	From   string   `json:"from,omitempty"` // digests
	To     string   `json:"to,omitempty"`
	// Ended are the units that have ended well within the time that they were watched,
	// and that nothing starts again by their restart policy: it may be what they are for.
	Ended []string `json:"ended,omitempty"`
	Error string   `json:"error,omitempty"`
}

// group are the containers that one name means the image of: they go forward
// and back together, as the name does.
type group struct {
	ref        reference.Reference
	name       string
	platform   string
	registry   bool
	fetch      bool
	containers []Container
}

// Run updates all containers that want it. The error joins what went wrong; all
// the others are updated nevertheless.
func (u *Updater) Run(ctx context.Context, all []Container) error {
	groups, err := groupByImage(all)
	errs := []error{err}
	if !u.DryRun {
		errs = append(errs, u.resume(ctx, all))
	}
	if u.ResumeOnly {
		groups = nil
	}
	for _, g := range groups {
		o := u.group(ctx, g)
		u.Report(o)
		if o.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s: %s", strings.Join(o.Units, " "), o.Result, o.Error))
		}
	}
	return errors.Join(errs...)
}

func groupByImage(all []Container) ([]*group, error) {
	var groups []*group
	var errs []error
	for _, c := range all {
		ref, err := reference.Parse(c.Service.Image)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Unit, err))
			continue
		}
		ref.Platform = reference.Foreign(c.Service.Platform)
		i := slices.IndexFunc(groups, func(g *group) bool { return g.ref.File() == ref.File() })
		if i < 0 {
			groups = append(groups, &group{ref: ref, name: c.Service.Image, platform: c.Service.Platform})
			i = len(groups) - 1
		}
		g := groups[i]
		g.registry = g.registry || c.Service.Update != definition.UpdateLocal
		g.fetch = g.fetch || c.Service.Update == definition.UpdateFetch
		g.containers = append(g.containers, c)
	}
	return groups, errors.Join(errs...)
}

func (g *group) units() []string {
	var names []string
	for _, c := range g.containers {
		names = append(names, c.Unit)
	}
	return names
}

func (u *Updater) group(ctx context.Context, g *group) Outcome {
	o := Outcome{Image: g.name, Units: g.units(), Result: UpToDate}
	fail := func(err error) Outcome {
		o.Result, o.Error = Failed, err.Error()
		return o
	}
	n, err := u.Store.LookupName(g.ref)
	if err != nil {
		return fail(err)
	}
	o.To = n.Image
	fetched := u.fetched(n)
	switch {
	case u.Named && fetched != "":
		o.To = fetched // and not what the registry has got since
	case g.registry:
		if o.To, err = u.Registry.Newest(ctx, g.name, g.platform); err != nil {
			return fail(err)
		}
	}
	if n.Next != nil && o.To == n.Image && !u.DryRun {
		// What was fetched is no longer what the registry gives.
		if err := u.Store.ChangeName(g.ref, func(n *store.Name) { n.Next = nil }); err != nil {
			return fail(err)
		}
	}
	outdated := g.outdated(o.To)
	if len(outdated.containers) == 0 {
		return o
	}
	o.Units, o.From = outdated.units(), outdated.containers[0].Running
	switch {
	case o.To == n.Rejected && !u.Retry:
		o.Result = Rejected
		o.Error = "it was tried and did not stay up; `unitc update --retry` tries it again"
		return o
	case u.DryRun:
		o.Result = Pending
		return o
	}
	isHere := o.To == n.Image || o.To == fetched
	restarting := outdated.restarting(u.Named)
	if len(restarting.containers) == 0 && !g.fetch {
		o.Result = Pending
		return o
	}
	if !isHere {
		// The name means it from the moment that the way back is written down: a boot in
		// between would leave all containers to an image that nobody has tried.
		img, err := u.Registry.Pull(ctx, g.name, g.platform, true)
		if err != nil {
			return fail(err)
		}
		o.To = img.Digest
	}
	if len(restarting.containers) == 0 {
		o.Result = Fetched
		return o
	}
	outdated, o.Units = restarting, restarting.units()
	before, err := u.Systemd.Dependents(ctx, o.Units)
	if err != nil {
		return fail(err)
	}
	err = u.Store.ChangeName(g.ref, func(n *store.Name) {
		if n.Next != nil && n.Next.Image == o.To {
			n.Advance()
		}
		n.Previous = o.From
		n.Trial = &store.Trial{Name: g.name, Platform: g.platform, Units: o.Units, Dependents: before}
	})
	if err != nil {
		return fail(err)
	}
	begun, err := u.rollOut(ctx, outdated)
	if len(begun) > 0 {
		o.Units = begun
	}
	if err == nil {
		o.Ended, err = u.Systemd.Watch(ctx, begun, u.Settle)
	}
	switch {
	case ctx.Err() != nil:
		// It says nothing of the image. What runs the earlier one still is found
		// by the next update.
		return fail(fmt.Errorf("%w; the next `unitc update` goes on", ctx.Err()))
	case err != nil && u.Systemd.Stopping(ctx):
		return fail(fmt.Errorf("%w: %w", errStopping, err))
	case err != nil:
		return u.goBack(ctx, outdated, o, err, before)
	}
	o.Result = Updated
	if err := errors.Join(u.revive(ctx, before), u.endTrial(g.ref)); err != nil {
		return fail(err)
	}
	return o
}

// outdated are the containers that run something else.
func (g *group) outdated(digest string) *group {
	old := *g
	old.containers = slices.DeleteFunc(slices.Clone(g.containers), func(c Container) bool { return c.Running == digest || c.Running == "" })
	return &old
}

// restarting are those that this run restarts.
func (g *group) restarting(named bool) *group {
	some := *g
	some.containers = slices.DeleteFunc(slices.Clone(g.containers), func(c Container) bool {
		return !named && c.Service.Update != definition.UpdateRegistry && c.Service.Update != definition.UpdateLocal
	})
	return &some
}

// fetched is the image that an earlier run has brought and left for later.
func (u *Updater) fetched(n store.Name) string {
	if n.Next == nil {
		return ""
	}
	if _, err := u.Store.Resolve(n.Next.Image); err != nil {
		return "" // pruned
	}
	return n.Next.Image
}

// rollOut restarts the containers, of a service with several instances one after the
// other, so that an image that does not stay up is found out by the first of them. It
// gives those that it has begun with.
func (u *Updater) rollOut(ctx context.Context, g *group) (begun []string, err error) {
	var units []rollout.Unit
	for _, c := range g.containers {
		units = append(units, rollout.Unit{Name: c.Unit, Service: c.Service, Checked: rollout.IsChecked(c.Service)})
	}
	for _, step := range rollout.Steps(units) {
		select {
		case <-time.After(step.Delay):
		case <-ctx.Done():
			return begun, ctx.Err()
		}
		for _, unit := range slices.Concat(step.Others, step.Instances) {
			begun = append(begun, unit)
			if err := u.Systemd.Restart(ctx, unit); err != nil {
				return begun, err
			}
		}
		if _, err := u.Systemd.Watch(ctx, step.Instances, step.Monitor); err != nil {
			return begun, err
		}
	}
	return begun, nil
}

// restart is done when all of them are ready and have stayed up.
func (u *Updater) restart(ctx context.Context, units []string) (ended []string, err error) {
	for _, unit := range units {
		if err := u.Systemd.Restart(ctx, unit); err != nil {
			return nil, err
		}
	}
	return u.Systemd.Watch(ctx, units, u.Settle)
}

// goBack gives the name its former image and starts that, in all that have had the
// other one: some may have started it by themselves.
func (u *Updater) goBack(ctx context.Context, g *group, o Outcome, why error, before []string) Outcome {
	o.Result, o.Error = RolledBack, why.Error()
	err := u.Store.ChangeName(g.ref, func(n *store.Name) {
		n.MeanAgain(o.From)
		n.Previous, n.Rejected = "", o.To
	})
	running, runningErr := u.Store.Running()
	err = errors.Join(err, runningErr)
	for _, unit := range g.units() {
		if running[unit] == o.To && !slices.Contains(o.Units, unit) {
			o.Units = append(o.Units, unit)
		}
	}
	if err == nil {
		o.Ended, err = u.restart(ctx, o.Units)
	}
	if err == nil {
		err = errors.Join(u.revive(ctx, before), u.endTrial(g.ref))
	}
	if err != nil {
		o.Result, o.Error = Failed, fmt.Sprintf("%v; going back: %v", why, err)
	}
	return o
}

// revive starts what was running before and went down with a failed start:
// systemd restarts those who require a unit only if the unit comes up.
func (u *Updater) revive(ctx context.Context, before []string) error {
	var errs []error
	for _, unit := range before {
		active, err := u.Systemd.IsActive(ctx, unit)
		if err == nil && !active {
			err = u.Systemd.Start(ctx, unit)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// errStopping is a judgement that a shutdown has kept from being made.
var errStopping = errors.New("the system is going down, and the next boot goes on with the update")

// ErrNoPrevious is an image without an earlier one.
var ErrNoPrevious = errors.New("no earlier image is kept")

// Rollback gives an image's name the meaning that it had before the last
// update, and restarts the containers that run it. The one gone back from is
// not tried again by itself; another Rollback goes forward to it.
func (u *Updater) Rollback(ctx context.Context, name, platform string, containers []Container) error {
	ref, err := reference.Parse(name)
	if err != nil {
		return err
	}
	ref.Platform = reference.Foreign(platform)
	g := &group{ref: ref, name: name, containers: containers}
	o := Outcome{Image: name, Units: g.units(), Result: RolledBack}
	err = u.Store.ChangeName(ref, func(n *store.Name) {
		o.From, o.To = n.Image, n.Previous
		if n.Previous != "" {
			n.MeanAgain(n.Previous)
			n.Previous, n.Rejected = o.From, o.From
		}
		n.Trial = nil
	})
	if err == nil && o.To == "" {
		err = ErrNoPrevious
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	before, err := u.Systemd.Dependents(ctx, o.Units)
	if err == nil {
		o.Ended, err = u.restart(ctx, o.Units)
	}
	err = errors.Join(err, u.revive(ctx, before))
	if err != nil {
		o.Result, o.Error = Failed, err.Error()
	}
	u.Report(o)
	return err
}
