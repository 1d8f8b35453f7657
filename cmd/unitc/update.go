// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/cli/updater"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/store"
)

// settleTime is how long a container must stay up after an update. Docker takes
// one that lasted ten seconds for started.
const settleTime = 10 * time.Second

func (a *app) update() *cobra.Command {
	var t transfer
	u := updater.Updater{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "update [OPTION…] [NAME…]",
		Short: "bring running containers to newer images, or back",
		Long: `Bring the running containers whose definitions have x-update: to newer images: fetch
them, restart what runs an older one, and go back to that if a container does not
become ready or does not stay up; one that ends with success stays down only where its
restart policy says so. Without names all are looked at, as the timer
unitc-update.timer does every day; those with x-update: fetch or check are then not
restarted, and an image that was fetched so is the one that their names bring. An image from which there was a way back is not
tried again unless --retry says so, and counts as a failure until there is a newer one.`,
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUpdater(cmd, t, &u, asJSON, func(ctx context.Context) error {
				if u.ResumeOnly && (len(args) > 0 || u.DryRun || u.Retry) {
					return usagef("update: --resume goes with no name, and neither with --dry-run nor --retry")
				}
				all, err := a.updatable(cmd, u.Store, args)
				if err != nil {
					return err
				}
				u.Named = len(args) > 0
				return u.Run(ctx, slices.DeleteFunc(all, func(c updater.Container) bool { return c.Service.Update == "" || c.Service.Image == "" }))
			})
		},
	}
	t.files(cmd)
	f := cmd.Flags()
	f.BoolVar(&u.DryRun, "dry-run", false, "say what is newer; fetch and restart nothing")
	f.BoolVar(&u.Retry, "retry", false, "try an image again that did not start")
	f.BoolVar(&u.ResumeOnly, "resume", false, "go on with updates that did not end, and begin none")
	f.BoolVar(&asJSON, "json", false, "print JSON, a line for each image")
	f.DurationVar(&u.Settle, "settle", settleTime, "how long a container must stay up")
	return cmd
}

func (a *app) rollback() *cobra.Command {
	var u updater.Updater
	asJSON := false
	cmd := &cobra.Command{
		Use:   "rollback [OPTION…] NAME…",
		Short: "bring containers back to the image before the last update",
		Long: `Give the image of a container the meaning that it had before the last unitc update,
and restart all containers that run it. Twice is once forward again.`,
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUpdater(cmd, transfer{quiet: true}, &u, asJSON, func(ctx context.Context) error {
				all, err := a.containers(cmd, u.Store, nil)
				if err != nil {
					return err
				}
				var errs []error
				for _, name := range args {
					// One that has failed for good is among them if it is named.
					named, err := a.containers(cmd, u.Store, []string{name})
					if err != nil {
						errs = append(errs, err)
						continue
					}
					named = slices.DeleteFunc(named, func(c updater.Container) bool { return c.Running == "" })
					errs = append(errs, a.rollBack(ctx, &u, name, join(all, named)))
				}
				return errors.Join(errs...)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON, a line for each image")
	f.DurationVar(&u.Settle, "settle", settleTime, "how long a container must stay up")
	return cmd
}

func (a *app) rollBack(ctx context.Context, u *updater.Updater, name string, all []updater.Container) error {
	found, err := catalog.Find(a.root, name)
	if err != nil {
		return err
	}
	s, err := found.One()
	if err != nil {
		return err
	}
	if s.Image == "" {
		return fmt.Errorf("%s has no image", s.UnitName())
	}
	same := slices.DeleteFunc(slices.Clone(all), func(c updater.Container) bool { return c.Service.Image != s.Image || c.Service.Platform != s.Platform })
	return u.Rollback(ctx, s.Image, s.Platform, same)
}

// withUpdater runs f while no other update does.
func (a *app) withUpdater(cmd *cobra.Command, t transfer, u *updater.Updater, asJSON bool, f func(context.Context) error) error {
	if a.root != "" {
		return usagef("%s: nothing runs in --root %s", cmd.Name(), a.root)
	}
	if err := a.booted(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s: %w", cmd.Name(), os.ErrPermission)
	}
	return a.withClient(t, func(ctx context.Context, c *image.Client) error {
		m, err := units.ConnectJobs(ctx)
		if err != nil {
			return err
		}
		defer m.Close()
		lock, err := c.Store.Acquire(ctx, "update", nil)
		if err != nil {
			return err
		}
		defer lock.Unlock()
		u.Store, u.Systemd, u.Registry = c.Store, m, puller{c}
		u.Report = func(o updater.Outcome) { a.printOutcome(o, asJSON) }
		return f(ctx)
	})
}

type puller struct{ client *image.Client }

func (p puller) Newest(ctx context.Context, name, platform string) (string, error) {
	return p.client.Remote(ctx, name, platform)
}

func (p puller) Pull(ctx context.Context, name, platform string, later bool) (store.Image, error) {
	return p.client.Pull(ctx, name, image.PullOptions{Policy: image.PullAlways, Platform: platform, Later: later})
}

// updatable are those that may have x-update:. A named container has it, and a named
// project at least one of its services.
func (a *app) updatable(cmd *cobra.Command, s *store.Store, words []string) ([]updater.Container, error) {
	if len(words) == 0 {
		return a.containers(cmd, s, nil)
	}
	var all []updater.Container
	for _, word := range words {
		meant, err := a.containers(cmd, s, []string{word})
		if err != nil {
			return nil, err
		}
		asked := slices.DeleteFunc(slices.Clone(meant), func(c updater.Container) bool { return c.Service.Update == "" })
		if len(meant) > 0 && len(asked) == 0 {
			return nil, usagef("update: %s has no x-update: in its definition", meant[0].Unit)
		}
		all = join(all, asked)
	}
	return all, nil
}

// join gives all of both lists, each once.
func join(all, more []updater.Container) []updater.Container {
	all = slices.Clone(all)
	for _, c := range more {
		if !slices.ContainsFunc(all, func(o updater.Container) bool { return o.Unit == c.Unit }) {
			all = append(all, c)
		}
	}
	return all
}

// containers are those that run an image, the named ones or all, and those that are to
// run it and end again and again.
func (a *app) containers(cmd *cobra.Command, s *store.Store, words []string) ([]updater.Container, error) {
	names, err := a.host.Names()
	if err == nil && len(words) > 0 {
		names, err = a.targets(context.Background(), nil, words)
	}
	if err != nil {
		return nil, err
	}
	var loops []string
	err = a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		if len(words) > 0 {
			_, loops, err = a.sortOut(ctx, bus, names)
		} else if loops, err = a.restarting(ctx, bus); err == nil {
			names = append(names, slices.DeleteFunc(slices.Clone(loops), func(name string) bool { return slices.Contains(names, name) })...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	running, err := s.Running()
	if err != nil {
		return nil, err
	}
	var all []updater.Container
	for _, name := range names {
		d, err := a.reloaded(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // its definition is gone
		}
		if err != nil && len(words) == 0 {
			a.complain(err) // the others are not to be without updates for it
			continue
		}
		if err != nil {
			return nil, err
		}
		c := updater.Container{Unit: name + ".service", Service: d, Running: running[name+".service"]}
		if c.Running == "" && d.Image != "" && slices.Contains(loops, name) {
			c.Running = nextImage(s, d)
		}
		all = append(all, c)
	}
	return all, nil
}

// nextImage is what the next start of a container takes, and the last one took: "" = it
// is not here.
func nextImage(s *store.Store, d *definition.Service) string {
	img, err := s.ResolveFor(d.Image, d.Platform)
	if err != nil {
		return ""
	}
	return img.Digest
}

// reloaded is the definition that the next start would take.
func (a *app) reloaded(name string) (*definition.Service, error) {
	s, err := a.loaded(name)
	if err != nil {
		return nil, err
	}
	return planner.Expand(s)
}

func (a *app) printOutcome(o updater.Outcome, asJSON bool) {
	if asJSON {
		e := json.NewEncoder(a.stdout)
		e.SetEscapeHTML(false)
		_ = e.Encode(o) // a closed pipe ends the process
		return
	}
	line := fmt.Sprintf("%s: %s", strings.Join(o.Units, " "), o.Result)
	if o.From != "" {
		line += fmt.Sprintf(" (%s: %s → %s)", o.Image, shortDigest(o.From), shortDigest(o.To))
	}
	if o.Result == updater.Pending || o.Result == updater.Fetched {
		line += "; `unitc update " + strings.ReplaceAll(strings.Join(o.Units, " "), ".service", "") + "` brings it"
	}
	if len(o.Ended) > 0 {
		line += fmt.Sprintf("; ended with success since: %s (`restart: always` has it run again, and an image that ends too soon gone back from)", strings.Join(o.Ended, " "))
	}
	fmt.Fprintln(a.stdout, terminal.Clean(realm.Words(line)))
}
