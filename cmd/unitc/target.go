// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/compose"
)

// busTimeout bounds the questions to systemd: a verb must end, also when PID 1
// does not answer.
const busTimeout = 25 * time.Second

// askSystemd runs one conversation with systemd.
func (a *app) askSystemd(cmd *cobra.Command, talk func(ctx context.Context, bus units.Bus) error) error {
	if a.root != "" {
		return usagef("%s: nothing runs in --root %s", cmd.Name(), a.root)
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	bus, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	return talk(ctx, bus)
}

// targets are the containers that words on the command line mean.
func (a *app) targets(ctx context.Context, bus units.Bus, words []string) ([]string, error) {
	var missing *catalog.NotFoundError
	for deadline := time.Now().Add(reloadPatience); ; time.Sleep(20 * time.Millisecond) {
		names, err := a.targetsNow(ctx, bus, words)
		// A reload takes all units away before it writes them anew.
		if !errors.As(err, &missing) && !errors.Is(err, fs.ErrNotExist) || !a.reloading() || time.Now().After(deadline) {
			return names, err
		}
	}
}

// reloadPatience bounds the wait for a reload that may be going on, reloadTrace
// is how long after one that is assumed.
const (
	reloadPatience = 10 * time.Second
	reloadTrace    = 2 * time.Second
)

// reloading tells whether the units may be on their way: their directory is new,
// or has gone just now. Of a host without a definition it is never there. A time to
// come is of a clock that was set back since.
func (a *app) reloading() bool {
	if a.root != "" {
		return false
	}
	info, err := os.Stat(a.unitDir)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(a.unitDir))
	}
	return err != nil || time.Since(info.ModTime()).Abs() < reloadTrace
}

func (a *app) targetsNow(ctx context.Context, bus units.Bus, words []string) ([]string, error) {
	generated, err := units.ListGenerated(a.unitDir)
	if err != nil {
		return nil, err
	}
	launched, err := a.host.Names()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, word := range words {
		found := units.Match(generated, launched, word)
		if len(found) == 0 {
			if stem := units.Stem(word); bus != nil && units.IsForeign(ctx, bus, stem+".service") {
				return nil, &units.ForeignError{Unit: stem + ".service"}
			}
			known := units.Stems(generated, launched)
			return nil, &catalog.NotFoundError{Name: word, Nearest: compose.Nearest(units.Stem(word), known), None: len(known) == 0}
		}
		names = append(names, found...)
	}
	return names, nil
}

// target is the one container that a word means.
func (a *app) target(ctx context.Context, bus units.Bus, word string) (string, error) {
	names, err := a.targets(ctx, bus, []string{word})
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		return "", &catalog.ManyError{Name: word, Services: names}
	}
	return names[0], nil
}

// running is target for a container with a payload: its name and first process.
func (a *app) running(ctx context.Context, bus units.Bus, word string) (string, int, error) {
	name, err := a.target(ctx, bus, word)
	if err != nil {
		return "", 0, err
	}
	pid, err := units.MainPID(ctx, bus, name+".service")
	if err == nil && pid == 0 {
		err = a.notRunning(ctx, bus, name)
	}
	return name, pid, err
}

func (a *app) notRunning(ctx context.Context, bus units.Bus, name string) error {
	state, err := units.State(ctx, bus, name+".service")
	if err != nil {
		return err
	}
	if state == "running" {
		// Who may not look below /run/unitc finds nothing there.
		if err := a.host.Permitted(); err != nil {
			return err
		}
		if pid, err := units.MainPID(ctx, bus, name+".service"); err == nil && pid != 0 && !a.host.Launched(name) {
			return &units.LostError{Name: name}
		}
	}
	return &units.NotRunningError{Name: name, State: state}
}

// each acts on all names, also behind one that fails, and says of each what
// was wrong. Its exit status is that of the first fault.
func (a *app) each(names []string, act func(name string) error) error {
	var first error
	for _, name := range names {
		if err := act(name); err != nil {
			a.complain(err)
			if first == nil {
				first = err
			}
		}
	}
	if first == nil {
		return nil
	}
	return statusError(exitStatus(first))
}

// completeRunning offers what something was started of.
func (a *app) completeRunning(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if a.asUser(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.host.Names()
	if err != nil || len(names) == 0 {
		// Others than root may not look there.
		return catalog.Names(a.root), cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
