// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/autostart"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/searchpath"
)

func (a *app) enable() *cobra.Command {
	now := false
	cmd := &cobra.Command{
		Use:   "enable [--now] NAME…",
		Short: "start containers with the system",
		Long: `Start containers with the system, whatever their definitions say. systemctl enable
refuses generated units; this makes the link that it refuses to make, and
removes what unitc disable has made.`,
		Args:              some("the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.autostart(args, autostart.Unit.Enable, "start", now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "start them now, too")
	return cmd
}

func (a *app) disable() *cobra.Command {
	now := false
	cmd := &cobra.Command{
		Use:   "disable [--now] NAME…",
		Short: "do not start containers with the system",
		Long: `Do not start containers with the system, whatever their definitions say. A
disabled unit can still be started by hand or by another unit; systemctl mask
forbids that too.`,
		Args:              some("the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.autostart(args, autostart.Unit.Disable, "stop", now)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "stop them now, too")
	return cmd
}

// autostart changes the links of all units first, then reloads once.
func (a *app) autostart(names []string, change func(autostart.Unit) ([]autostart.Change, error), verb string, now bool) error {
	if now {
		if a.root != "" {
			return usagef("--now: nothing runs in --root %s", a.root)
		}
		if err := a.booted(); err != nil {
			return err
		}
	}
	list, err := a.autostartUnits(names, verb == "stop")
	if err != nil {
		return err
	}
	changed := 0
	for _, u := range list {
		changes, err := change(u)
		for _, c := range changes {
			fmt.Fprintln(a.stderr, c)
		}
		changed += len(changes)
		if err != nil {
			return fmt.Errorf("%s: %w", u.Name, err)
		}
	}
	// As systemctl does: in an image, or in a chroot, there is nobody to tell.
	if changed > 0 && a.root == "" && a.booted() == nil {
		if err := a.systemctl("daemon-reload"); err != nil {
			return err
		}
	}
	if !now {
		return nil
	}
	argv := []string{verb}
	for _, u := range list {
		// A project's target starts what its profiles ask for. Stopping it stops
		// all, but systemctl waits for the units that it is given only.
		if !u.Pulled || verb == "stop" {
			argv = append(argv, u.Name)
		}
	}
	return a.systemctl(argv...)
}

// autostartUnits finds the units before anything is changed. With gone those
// count too that are enabled and whose definition is not there any more.
func (a *app) autostartUnits(names []string, gone bool) ([]autostart.Unit, error) {
	var list []autostart.Unit
	for _, name := range names {
		found, err := catalog.Find(a.root, name)
		var notFound *catalog.NotFoundError
		if gone && errors.As(err, &notFound) {
			if left := a.leftEnabled(name); len(left) > 0 {
				list = append(list, left...)
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		out, err := catalog.DryRun{Root: a.root, Select: func(e *searchpath.Entry) bool { return e.Path == found.Entry.Path }}.Run()
		if err != nil {
			return nil, err
		}
		services := found.Services
		if len(services) == 0 {
			services = []definition.Service{{Name: found.File.Name}}
		}
		target := found.File.Name + ".target"
		whole := found.Project && out.Unit(target) != nil
		if whole {
			list = append(list, a.unitOf(out, target, target))
		}
		for i := range services {
			u, err := a.autostartUnit(out, &services[i])
			if err != nil {
				return nil, err
			}
			triggers := services[i].Triggers()
			for _, name := range append(triggers, services[i].PortSockets()...) {
				trigger := a.unitOf(out, name, name)
				trigger.Pulled = whole || !slices.Contains(triggers, name)
				list = append(list, trigger)
			}
			u.Pulled = whole || len(triggers) > 0
			list = append(list, u)
		}
	}
	return list, nil
}

func (a *app) leftEnabled(name string) (list []autostart.Unit) {
	for _, suffix := range []string{".service", ".target"} {
		u := autostart.Unit{Root: a.root, Name: strings.TrimSuffix(name, suffix) + suffix, Generated: catalog.OutDir()}
		if u.Enabled() {
			list = append(list, u)
		}
	}
	return list
}

func (a *app) autostartUnit(out *catalog.Output, s *definition.Service) (autostart.Unit, error) {
	file := s.Name + ".service"
	if out.Unit(file) == nil {
		return autostart.Unit{}, &catalog.BrokenError{Problems: out.Problems}
	}
	if strings.HasSuffix(s.Name, "@") && s.Instance == "" {
		return autostart.Unit{}, &catalog.TemplateError{Name: s.Name}
	}
	return a.unitOf(out, s.UnitName(), file), nil
}

func (a *app) unitOf(out *catalog.Output, name, file string) autostart.Unit {
	return autostart.Unit{Root: a.root, Name: name, Fragment: catalog.OutDir() + "/" + file, Generated: catalog.OutDir(), Starters: out.Starters(name)}
}
