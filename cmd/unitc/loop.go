// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/resolved"
)

// Of a container that ends again and again nothing is below /run/unitc most of the time:
// systemd waits before it starts it once more, or has given up. It is to run all the same.

// loopPatience is for one that is between two of its states just now.
const loopPatience = 5 * time.Second

// sortOut tells which of these run, and which are to run and end again and again.
func (a *app) sortOut(ctx context.Context, bus units.Bus, names []string) (running, looping []string, err error) {
	deadline := time.Now().Add(loopPatience)
	for _, name := range names {
		for ; ; time.Sleep(20 * time.Millisecond) {
			if _, ok := a.host.Started(name); ok {
				running = append(running, name)
				break
			}
			loop, err := units.LoopOf(ctx, bus, name+".service")
			if err != nil {
				return nil, nil, err
			}
			if loop == units.Loops {
				looping = append(looping, name)
			}
			if loop != units.InBetween || time.Now().After(deadline) {
				break
			}
		}
	}
	return running, looping, nil
}

// restarting are all that systemd is about to start again.
func (a *app) restarting(ctx context.Context, bus units.Bus) (names []string, err error) {
	generated, err := units.ListGenerated(a.unitDir)
	if err != nil {
		return nil, err
	}
	list, err := units.List(ctx, bus, generated, units.Question{Host: a.host, Wanted: func(state string) bool { return state == "restarting" }})
	if err != nil {
		return nil, fmt.Errorf("asking systemd for units: %w", err)
	}
	for _, u := range list {
		if _, ok := a.host.Started(u.Name); !ok {
			names = append(names, u.Name)
		}
	}
	return names, nil
}

// differenceBetweenRuns is of a container of which nothing ran a moment ago, nil for one
// that is not to run.
func (a *app) differenceBetweenRuns(cmd *cobra.Command, name string) (d *difference, err error) {
	for deadline := time.Now().Add(loopPatience); ; {
		var running, looping []string
		err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
			running, looping, err = a.sortOut(ctx, bus, []string{name})
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case len(looping) > 0:
			return a.loopDifference(name)
		case len(running) == 0:
			return nil, nil
		}
		if d, err = a.difference(name); !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return d, err
		}
	}
}

// loopDifference compares what systemd starts again and again with the file.
func (a *app) loopDifference(name string) (*difference, error) {
	d := &difference{Name: name, Changes: []change.Change{}, loops: true}
	found, err := catalog.Find(a.root, name)
	var notFound *catalog.NotFoundError
	if errors.As(err, &notFound) {
		d.Removed = true
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if d.file, err = found.One(); err != nil {
		return nil, err
	}
	if s, err := a.loaded(name); err == nil { // or it has faults, and no start comes to anything
		if d.Changes, err = change.Compare(s, d.file); err != nil {
			return nil, err
		}
	}
	if d.Changes == nil {
		d.Changes = []change.Change{}
	}
	d.planned, d.planErr = launch.Plan(d.file)
	d.Effort = change.Most(d.Changes)
	return d, nil
}

// loaded is the definition of a container as systemd has read it last.
func (a *app) loaded(name string) (*definition.Service, error) {
	stem, instance, isInstance := strings.Cut(name, "@")
	if isInstance {
		stem += "@"
	}
	data, err := resolved.Read(resolved.Path(a.unitDir, stem))
	if err != nil {
		return nil, err
	}
	r := &definition.Resolved{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("reading the resolved definition of %s: %w; run `systemctl daemon-reload`", name, err)
	}
	if r.Service == nil || r.Problems.HasErrors() {
		return nil, fmt.Errorf("the definition of %s has faults; `unitc check` shows them", name)
	}
	r.Service.Instance = instance
	return r.Service, nil
}

// unsteady are those of these units that have not stayed up: systemd may have given up
// one of them by the time that it is restarted, and counts the starts of the loop.
func (a *app) unsteady(list []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	bus, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer bus.Close()
	return slices.DeleteFunc(slices.Clone(list), func(unit string) bool {
		is, err := units.IsUnsteady(ctx, bus, unit)
		return err != nil || !is
	}), nil
}
