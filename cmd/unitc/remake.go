// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/adhoc"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/network"
)

// A network is made by the first container that comes and goes with the last
// one. One whose definition has changed is made anew by that: all that is in it
// stops, and only then starts again.

// decideNetworks says of each network why it stays as it is, if it does: nothing
// is stopped that was not named, or that would not start again.
func (a *app) decideNetworks(list []difference) {
	for again := true; again; {
		again = false
		for i := range list {
			for j := range list[i].Networks {
				n := &list[i].Networks[j]
				if n.Stays != "" {
					continue
				}
				if n.Stays = a.staysFor(list, n); n.Stays == "" {
					continue
				}
				again = true // who waits for this one starts in no other
				keep(list, n.Name, n.Stays)
			}
		}
	}
}

// keep leaves a network as it is. What waits for it would not start.
func keep(list []difference, network, why string) {
	for i := range list {
		d := &list[i]
		for j := range d.Networks {
			if d.Networks[j].Name == network {
				d.Networks[j].Stays = why
			}
		}
		if err := d.waits[network]; err != nil && d.planErr == nil {
			d.planErr = fmt.Errorf("%w, and that stays: %s", err, why)
		}
	}
}

func (a *app) staysFor(list []difference, n *outdatedNetwork) string {
	for _, name := range n.Containers {
		i := slices.IndexFunc(list, func(d difference) bool { return d.Name == name })
		switch {
		case i < 0 && a.isAdHoc(name):
			return name + " is in it, which unitc run has started; stop that first"
		case i < 0:
			return name + " is in it, too; unitc apply " + strings.Join(n.Containers, " ")
		case list[i].Removed:
			return name + " is in it and has no definition any more; stop it first: systemctl stop " + name
		case list[i].planErr != nil:
			return name + " is in it and would not start again"
		}
	}
	return ""
}

func (a *app) isAdHoc(name string) bool {
	d, err := a.host.Definition(name)
	return err == nil && strings.HasPrefix(d.Source.File, adhoc.Prefix())
}

// anew are the networks that are to be made anew, each once.
func anew(list []difference) (networks []outdatedNetwork) {
	for _, d := range list {
		for _, n := range d.Networks {
			if n.Stays == "" && !slices.ContainsFunc(networks, func(other outdatedNetwork) bool { return other.Name == n.Name }) {
				networks = append(networks, n)
			}
		}
	}
	return networks
}

// makeAnew stops all that is in the networks, and what stops with that, and
// starts it again. It gives the units that were.
func (a *app) makeAnew(networks []outdatedNetwork) ([]string, error) {
	var names, stopped []string
	for _, n := range networks {
		names = append(names, n.Name)
		for _, c := range n.Containers {
			if !slices.Contains(stopped, c+".service") {
				stopped = append(stopped, c+".service")
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	jobs, err := units.ConnectJobs(ctx)
	if err != nil {
		return nil, err
	}
	dependents, err := jobs.Dependents(ctx, stopped)
	jobs.Close()
	if err != nil {
		return nil, err
	}
	stopped = append(stopped, dependents...)
	slices.Sort(stopped)
	fmt.Fprintf(a.stderr, "To make %s anew these stop and start again: %s\n", naming("the network", names), strings.Join(stopped, " "))
	// An interrupt ends the wait for systemd and not what follows: nothing is to
	// stay stopped.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	stopErr := a.systemctl(append([]string{"stop", "--"}, stopped...)...)
	for _, n := range networks {
		if others, _ := a.members(n.Name); stopErr == nil && len(others) > 0 {
			fmt.Fprintf(a.stderr, "%s has come into the network %s meanwhile\n", others[0].Container, n.Name)
		}
	}
	if err := a.systemctl(append([]string{"start", "--"}, stopped...)...); err != nil {
		return stopped, err
	}
	if stopErr != nil {
		return stopped, stopErr
	}
	return stopped, a.remadeAsDefined(names)
}

// remadeAsDefined reads back what the start has made.
func (a *app) remadeAsDefined(names []string) error {
	var all error
	for _, name := range names {
		n, err := a.leases().Network(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nobody wants it any more
		}
		if err != nil {
			return err
		}
		records, err := a.members(name)
		if err != nil {
			return err
		}
		wanted := a.networkDefinition(name, nil)
		for _, r := range records {
			if found, err := catalog.Find(a.root, r.Container); err == nil && wanted == nil {
				wanted = a.networkDefinition(name, found)
			}
		}
		if wanted != nil && len(network.Outdated(n, wanted)) > 0 {
			all = errors.Join(all, fmt.Errorf("the network %s is still as it was, because somebody was in it all the time; unitc network inspect %[1]s shows who", name))
		}
	}
	return all
}

// naming is "the network a" or "the networks a and b".
func naming(what string, names []string) string {
	if len(names) == 1 {
		return what + " " + names[0]
	}
	return what + "s " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
