// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/adhoc"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/cli/files"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
	"github.com/unitc/unitc/internal/store"
)

// difference is one container that runs, beside what its file now says.
type difference struct {
	Name    string          `json:"name"`
	Effort  change.Effort   `json:"effort,omitempty"` // "" = nothing differs
	Changes []change.Change `json:"changes"`
	// Removed is true if no file defines it any more.
	Removed bool `json:"removed,omitempty"`
	// Networks are those that are not as their definitions say by now. A restart of
	// one container changes nothing of that: each stays as it is until the last has left.
	Networks []outdatedNetwork `json:"networks,omitempty"`

	running, file *definition.Service
	launched      *plan.Plan
	planned       *plan.Plan
	planErr       error // why a start would fail
	// loops: it is to run and ends again and again. Nothing of it runs now.
	loops bool
	// waits are why it would fail in networks that are as they were, by their names.
	waits map[string]error
}

// otherImage finds an image of the same files that says something else of
// itself: another command, other variables.
func (d *difference) otherImage() bool {
	if d.file.Image == "" {
		return false
	}
	st, err := store.Open("")
	if err != nil {
		return false
	}
	was, err := st.RunningOf(d.file.UnitName())
	if err != nil || was == "" {
		return false
	}
	is, err := st.ResolveFor(d.file.Image, d.file.Platform)
	if err != nil || is.Digest == was {
		return false
	}
	before, err := st.Resolve(was)
	return err != nil || before.ID != is.ID
}

type outdatedNetwork struct {
	Name       string               `json:"name"`
	Containers []string             `json:"containers"` // all that are in it
	Changes    []network.Difference `json:"changes"`
	// Stays is why unitc apply leaves it as it is, "" if it does not.
	Stays string `json:"stays,omitempty"`
}

// takes is what becomes of those who are in it.
func (n *outdatedNetwork) takes() string {
	if n.Stays != "" {
		return "-"
	}
	return "restart of " + strings.Join(n.Containers, " ")
}

func (a *app) diff() *cobra.Command {
	asJSON, status := false, false
	cmd := &cobra.Command{
		Use:   "diff [OPTION…] [NAME…]",
		Short: "compare what runs with what its file now says",
		Long: `Compare what runs with what its file now says, field by field, and say what each
change takes: live (limits and what systemd alone heeds; nothing ends), restart, or
recreate (a restart with other files or other user ids). unitc apply does it.`,
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.differences(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON(list)
			} else {
				err = a.writeDifferences(list)
			}
			if err == nil && status && slices.ContainsFunc(list, func(d difference) bool { return d.Effort != "" || d.Removed || len(d.Networks) > 0 }) {
				return statusError(exitFailed)
			}
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&status, "exit-code", false, "exit with 1 if something differs")
	return cmd
}

// differences are those of the named containers that run, or of all.
func (a *app) differences(cmd *cobra.Command, words []string) ([]difference, error) {
	var names, loops []string
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) (err error) {
		if len(words) == 0 {
			if err := a.host.Permitted(); err != nil {
				return err // what runs is not known, and nothing would seem to differ
			}
			if names, err = a.host.Names(); err == nil {
				loops, err = a.restarting(ctx, bus)
			}
			return err
		}
		for _, word := range words {
			meant, err := a.targets(ctx, bus, []string{word})
			if err != nil {
				return err
			}
			// Of a project some may not run, as those of other profiles.
			running, looping, err := a.sortOut(ctx, bus, meant)
			if err != nil {
				return err
			}
			if len(running)+len(looping) == 0 && len(meant) > 0 {
				return a.notRunning(ctx, bus, meant[0])
			}
			names = append(names, slices.DeleteFunc(running, func(name string) bool { return slices.Contains(names, name) })...)
			loops = append(loops, slices.DeleteFunc(looping, func(name string) bool { return slices.Contains(loops, name) })...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := []difference{}
	for _, name := range slices.Concat(names, loops) {
		d, err := a.difference(name)
		if errors.Is(err, fs.ErrNotExist) {
			d, err = a.differenceBetweenRuns(cmd, name)
		}
		var broken *catalog.BrokenError
		if errors.As(err, &broken) && len(words) == 0 {
			// What its file says is not known; of the others it is.
			d, err = &difference{Name: name, Changes: []change.Change{}, planErr: err, loops: slices.Contains(loops, name)}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		// Without names those are meant that differ.
		if d != nil && (!d.loops || len(words) > 0 || d.Effort != "" || d.planErr != nil) {
			list = append(list, *d)
		}
	}
	if err := a.compareGrants(cmd, list); err != nil {
		return nil, err
	}
	a.decideNetworks(list)
	return list, nil
}

// difference is nil for what was started without a file.
func (a *app) difference(name string) (*difference, error) {
	d := &difference{Name: name, Changes: []change.Change{}}
	var err error
	if d.running, err = a.host.Definition(name); err != nil {
		return nil, err
	}
	if d.launched, err = a.host.Plan(name); err != nil {
		return nil, err
	}
	if strings.HasPrefix(d.running.Source.File, adhoc.Prefix()) {
		return nil, nil
	}
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
	if d.Changes, err = change.Compare(d.running, d.file); err != nil {
		return nil, err
	}
	d.compareWorld()
	if err := a.compareNetworks(d, found); err != nil {
		return nil, err
	}
	if d.Changes == nil {
		d.Changes = []change.Change{}
	}
	d.Effort = change.Most(d.Changes)
	return d, nil
}

// compareWorld finds what changed beside the file: another image of the same
// name, another content of an env_file.
func (d *difference) compareWorld() {
	if d.planned, d.planErr = launch.Plan(d.file); d.planErr != nil {
		return
	}
	changed := func(field string) bool {
		return slices.ContainsFunc(d.Changes, func(c change.Change) bool { return strings.HasPrefix(c.Field, field) })
	}
	was, is := d.launched.Root.Lowers, d.planned.Root.Lowers
	if (!slices.Equal(was, is) || d.otherImage()) && !changed("image") && !changed("platform") && !changed("rootfs") {
		d.Changes = append(d.Changes, change.Change{Field: "image", Running: d.file.Image, File: "another image of this name", Effort: change.Recreate})
		return
	}
	if d.launched.Spec == nil || d.launched.Spec.Process == nil || changed("environment") || changed("env_file") || changed("image") || len(d.file.EnvFiles) == 0 {
		return
	}
	if !slices.Equal(d.launched.Spec.Process.Env, d.planned.Spec.Process.Env) {
		d.Changes = append(d.Changes, change.Change{Field: "env_file", Running: "as it was at the start", File: "has other variables now", Effort: change.Restart})
	}
}

// compareGrants finds secrets and configs that are not what the payload has. What
// it has is read where it has it: nothing else keeps a copy.
func (a *app) compareGrants(cmd *cobra.Command, list []difference) error {
	var having []*difference
	for i := range list {
		if d := &list[i]; d.file != nil && d.planned != nil && len(planner.Grants(d.file)) > 0 {
			having = append(having, d)
		}
	}
	if len(having) == 0 || os.Geteuid() != 0 {
		return nil // who is not root may not look into a container
	}
	return a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		for _, d := range having {
			pid, err := units.MainPID(ctx, bus, d.Name+".service")
			if err != nil || pid == 0 {
				continue // it ends just now
			}
			a.compareGrantsOf(d, pid)
		}
		return nil
	})
}

func (a *app) compareGrantsOf(d *difference, pid int) {
	side, err := files.Container(d.Name, pid)
	if err != nil {
		return
	}
	defer side.Close()
	started := began(pid)
	for i, g := range planner.Grants(d.file) {
		place := d.planned.Files[i].Destination
		key := "configs"
		if i < len(d.file.Secrets) {
			key = "secrets"
		}
		if slices.ContainsFunc(d.Changes, func(c change.Change) bool { return strings.HasPrefix(c.Field, key) }) {
			continue // the definition's own words have changed, and take a restart
		}
		is, err := launch.GrantContent(&g)
		switch {
		case g.Content != nil:
			continue
		case errors.Is(err, launch.ErrCredential):
			if !credentialChanged(&g, started) {
				continue
			}
		case err != nil:
			if d.planErr == nil {
				d.planErr = err
			}
			continue
		default:
			was, err := side.ReadFile(place, maxSecret)
			if err != nil || bytes.Equal(was, is) {
				continue
			}
		}
		d.Changes = append(d.Changes, change.Change{Field: key + "[" + g.Source + "]", Running: "as it was at the start", File: "has another content now", Effort: change.Restart})
	}
	d.Effort = change.Most(d.Changes)
}

// began is when a process did, by the wall clock as it is now: a file has the time of
// the one that was then, which may have been set since.
func began(pid int) time.Time {
	const ticksPerSecond = 100 // in which the kernel tells programs times (USER_HZ)
	ticks, err := runtime.StartTime(pid)
	if err != nil {
		return time.Now() // it has ended
	}
	now := units.ReadClock()
	return now.Wall.Add(time.Duration(ticks+1)*(time.Second/ticksPerSecond) - now.Boot)
}

// credentialChanged goes by the time of its file: systemd decrypts it for a unit
// that starts, and for nobody else. A time to come is of a clock that was ahead, and
// no reason to restart what runs.
func credentialChanged(g *definition.Grant, started time.Time) bool {
	path := filepath.Join(realm.Credentials(), g.Name)
	if g.Encrypted != "" {
		path = g.Encrypted // or the text itself, which no path is
	}
	st, err := os.Stat(path)
	return err == nil && st.ModTime().After(started) && !st.ModTime().After(time.Now())
}

// compareNetworks finds networks whose definitions have changed since they were
// made, and addresses that the container would not get in them.
func (a *app) compareNetworks(d *difference, found *catalog.Found) error {
	records, err := a.leases().RecordsOf(d.Name)
	if err != nil {
		return err
	}
	for _, r := range records {
		n, err := a.leases().Network(r.Network)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		wanted := a.networkDefinition(r.Network, found)
		if wanted == nil {
			continue
		}
		changes := network.Outdated(n, wanted)
		if len(changes) == 0 {
			continue
		}
		others, err := a.members(r.Network)
		if err != nil {
			return err
		}
		o := outdatedNetwork{Name: r.Network, Changes: changes}
		for _, r := range others {
			o.Containers = append(o.Containers, r.Container)
		}
		d.Networks = append(d.Networks, o)
		for _, place := range d.file.Networks {
			for _, address := range []string{place.IPv4, place.IPv6} {
				if place.Network == r.Network && address != "" && !network.Has(n, address) {
					if d.waits == nil {
						d.waits = map[string]error{}
					}
					d.waits[r.Network] = fmt.Errorf("the network %s cannot give %s until it is made anew", r.Network, address)
				}
			}
		}
	}
	return nil
}

// networkDefinition is nil where none is found, or a broken one.
func (a *app) networkDefinition(name string, found *catalog.Found) *definition.Network {
	for _, file := range []string{"", name + definition.NetworkFile} {
		if file != "" {
			var err error
			if found, err = catalog.Find(a.root, file); err != nil {
				break
			}
		}
		if found == nil {
			continue
		}
		for i := range found.File.Networks {
			if n := &found.File.Networks[i]; n.Name == name && !n.External && !found.File.ProblemsOfNetwork(n).HasErrors() {
				return n
			}
		}
	}
	if name == definition.LoneNetwork {
		return &definition.Network{Key: name, Name: name}
	}
	return nil
}

var effortColour = map[change.Effort]terminal.Colour{change.Live: terminal.Good, change.Restart: terminal.Warn, change.Recreate: terminal.Bad}

func (a *app) writeDifferences(list []difference) error {
	t := terminal.Table{Header: []string{"NAME", "FIELD", "RUNNING", "FILE", "TAKES"}, Shrink: []int{2, 3, 1}, Drop: []int{2}}
	for _, d := range list {
		if d.Removed {
			t.Add(d.Name, "-", "-", "no definition any more", "systemctl stop "+d.Name)
		}
		for _, n := range d.Networks {
			for _, c := range n.Changes {
				t.Add(d.Name, "networks."+n.Name+"."+c.Field, orDash(c.Running), orDash(c.File), n.takes())
			}
		}
		for _, c := range d.Changes {
			t.Add(d.Name, c.Field, orDash(c.Running), orDash(c.File), string(c.Effort))
			t.Rows[len(t.Rows)-1][4].Colour = effortColour[c.Effort]
		}
	}
	for _, d := range list {
		if d.planErr != nil {
			fmt.Fprintf(a.stderr, "unitc: %s would not start: %v\n", d.Name, d.planErr)
		}
	}
	a.nameKeptNetworks(list)
	if len(t.Rows) == 0 {
		return nil
	}
	return t.Write(terminal.Of(a.stdout))
}
