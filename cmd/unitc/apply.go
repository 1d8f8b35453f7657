// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/cli/change"
	"github.com/unitc/unitc/internal/cli/rollout"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
)

func (a *app) apply() *cobra.Command {
	dry, noRestart := false, false
	cmd := &cobra.Command{
		Use:   "apply [--dry-run] [--no-restart] [NAME…]",
		Short: "bring what runs to what its file says, with the least effort",
		Long: `Bring containers that run to what their files now say: systemd is reloaded, new
limits hold at once, and only what cannot be changed in a running container is
restarted. For a network whose definition has changed all that is in it stops, and
starts again when the network is gone. Nothing is restarted that would not start.
What does not run is not started, but for what ends again and again and is named or has
changed: that starts anew at once, also where systemd waits or has given up. unitc diff
tells beforehand.`,
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.differences(cmd, args)
			if err != nil {
				return err
			}
			if dry {
				return a.writeDifferences(list)
			}
			return a.applyAll(list, applyOptions{noRestart: noRestart})
		},
	}
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "only say what would be done, as unitc diff")
	cmd.Flags().BoolVar(&noRestart, "no-restart", false, "apply what takes no restart, and leave the rest")
	return cmd
}

// applyOptions say how far to go.
type applyOptions struct {
	noRestart bool
	// anyway are those that are restarted also where nothing differs.
	anyway []string
}

func (a *app) applyAll(list []difference, o applyOptions) error {
	var restart []rollout.Unit
	var live []difference
	var loaded []string // at whose next start systemd takes what the file says
	var first error
	if o.noRestart {
		for _, n := range anew(list) {
			keep(list, n.Name, "it takes a "+n.takes())
		}
	}
	again := anew(list)
	inAgain := func(name string) bool {
		return slices.ContainsFunc(again, func(n outdatedNetwork) bool { return slices.Contains(n.Containers, name) })
	}
	for _, d := range list {
		anyway := d.file != nil && slices.Contains(o.anyway, d.Name)
		switch {
		case inAgain(d.Name):
			continue
		case d.file == nil && d.planErr != nil:
			err := fmt.Errorf("%s is left %s: %w", d.Name, d.asItIs(), d.planErr)
			a.complain(err)
			first = errors.Join(first, err)
		case d.Removed:
			continue
		case d.loops && o.noRestart:
			loaded = append(loaded, d.Name)
		case d.loops:
			// Nothing ends by it. What keeps it from starting its start tells, which also
			// fetches an image that is missing.
			restart = append(restart, d.replaceable())
		case d.Effort == "" && !anyway:
			continue
		case d.Effort == change.Live && !anyway || o.noRestart:
			live = append(live, d)
		case d.planErr != nil:
			err := fmt.Errorf("%s is left running as it is, because it would not start: %w", d.Name, d.planErr)
			a.complain(err)
			first = errors.Join(first, err)
		default:
			restart = append(restart, d.replaceable())
		}
	}
	if len(live)+len(loaded)+len(restart)+len(again) > 0 {
		if err := a.applyLive(live); err != nil {
			return err
		}
	}
	if len(again) > 0 {
		restarted, err := a.makeAnew(again)
		if err != nil {
			return err
		}
		restart = slices.DeleteFunc(restart, func(u rollout.Unit) bool { return slices.Contains(restarted, u.Name) })
		for _, d := range list {
			if unit := d.Name + ".service"; slices.Contains(restarted, unit) {
				a.tellRestarted([]string{unit})
			}
		}
	}
	for _, d := range list {
		switch {
		case d.Removed:
			a.remark("%s runs and has no definition any more; stop it with systemctl stop %[1]s", d.Name)
		case slices.Contains(loaded, d.Name):
			fmt.Fprintf(a.stdout, "%s: read; its next start takes it\n", d.Name)
		case d.loops, inAgain(d.Name), d.Effort == "", slices.Contains(o.anyway, d.Name):
		case d.Effort == change.Live:
			fmt.Fprintf(a.stdout, "%s: applied\n", d.Name)
		case o.noRestart:
			fmt.Fprintf(a.stdout, "%s: applied what takes no %s\n", d.Name, d.Effort)
		}
	}
	if err := a.roll(restart); err != nil {
		return err
	}
	a.nameKeptNetworks(list)
	if first != nil {
		return statusError(exitStatus(first))
	}
	return nil
}

// asItIs is how a container is left.
func (d *difference) asItIs() string {
	if d.loops {
		return "as it is"
	}
	return "running as it is"
}

// nameKeptNetworks tells which networks stay as they are, and why.
func (a *app) nameKeptNetworks(list []difference) {
	told := map[string]bool{}
	for _, d := range list {
		for _, n := range d.Networks {
			if !told[n.Name] && n.Stays != "" {
				fmt.Fprintf(a.stderr, "the network %s stays as it was made: %s\n", n.Name, n.Stays)
			}
			told[n.Name] = true
		}
	}
}

// applyLive writes new limits where systemd looks for them, and has it look.
// Then, not before, it is written down that they hold.
func (a *app) applyLive(list []difference) error {
	type applied struct {
		name string
		s    *definition.Service
	}
	var done []applied
	for _, d := range list {
		s := change.LiveOnly(d.running, d.file)
		if err := a.writeLimits(d.launched, s); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		done = append(done, applied{d.Name, s})
	}
	if err := a.systemctl("daemon-reload"); err != nil {
		return err
	}
	for i, d := range done {
		if err := a.setLimits(list[i].launched, list[i].running, d.s); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if err := a.host.Record(d.name, d.s); err != nil {
			return err
		}
	}
	return nil
}

// controlDir is where systemd writes what `set-property --runtime` was told
// (systemd.unit(5)).
func controlDir() string { return realm.Systemd + "/" + realm.Kind() + ".control/" }

// setLimits changes the kernel's limits. The files in which systemd would keep
// them until the next boot are taken away: the drop-in, or the generated unit,
// says the same, and ends with the container.
func (a *app) setLimits(launched *plan.Plan, running, wanted *definition.Service) error {
	unit := launched.Unit
	if launched.Scope != nil {
		unit = launched.Scope.Name
	}
	assignments := change.Assignments(planner.ScopeProperties(running), planner.ScopeProperties(wanted))
	if len(assignments) == 0 {
		return nil
	}
	if err := a.systemctl(append([]string{"set-property", "--runtime", "--", unit}, assignments...)...); err != nil {
		return err
	}
	dir := controlDir() + unit + ".d"
	for _, word := range assignments {
		name, _, _ := strings.Cut(word, "=")
		if err := os.Remove(dir + "/50-" + name + ".conf"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = os.Remove(dir) // it stays if somebody has set something else
	if launched.Scope == nil || launched.Runtime != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	return cgroupsd.ShowScope(ctx, launched.Scope)
}

// writeLimits makes the drop-in that turns the limits of a running scope into
// those of a definition. It is a file and no call over the bus, so that it holds
// at the next reload too; systemd removes it with the scope. With `cgroup:
// service` the limits stand in the generated unit, and a reload is all.
func (a *app) writeLimits(launched *plan.Plan, s *definition.Service) error {
	if launched.Scope == nil {
		return nil
	}
	path := launch.LimitsPath(launched.Scope.Name)
	text := change.Limits("Scope", launched.Scope.Properties, planner.ScopeProperties(s))
	if text == "" {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := path + ".new" // systemd reads only what ends in ".conf"
	err := os.WriteFile(temp, []byte("# Made by unitc; it goes with the container.\n"+text), 0o644)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}
