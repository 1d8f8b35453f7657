// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/autostart"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/unitfile"
)

func (a *app) up() *cobra.Command {
	name, enable, build := "", false, false
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [OPTION…] FILE…|-",
		Short: "install definitions, start them and wait until they are up",
		Long: `Check definitions, install them in /etc/unitc, reload systemd, start them and wait
until they are up. What runs already is brought to what its file now says, as by
unitc apply. Images that have a build: and are missing are built first. A file called compose.yaml becomes the project of the name that .env,
name: or its directory gives, and takes the .env and the compose.override.yaml beside it along;
relative paths begin where the file is, and copies of what it extends and includes are installed too. A definition that was there before is kept as NAME.yaml~.`,
		Example: "  unitc up web.yaml\n  unitc up --name blog ./compose.yaml",
		Args:    aFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if a.root != "" {
				return usagef("up: nothing runs in --root %s; copy the file to %s%s", a.root, a.root, searchpath.Dirs[0])
			}
			if name != "" && len(args) > 1 {
				return usagef("up: --name goes with one file")
			}
			if err := a.booted(); err != nil {
				return err
			}
			if what, cure := otherPlaces(); what != "" {
				return fmt.Errorf("up: %s; %s", what, cure)
			}
			var list []*catalog.Candidate
			for _, arg := range args {
				c, err := a.candidate(arg, name)
				if err != nil {
					return err
				}
				list = append(list, c)
			}
			if !o.noBuild {
				if err := a.buildMissing(list, build); err != nil {
					return err
				}
			}
			if o.pull == definition.PullAlways {
				if err := a.pullAll(list); err != nil {
					return err
				}
			}
			for _, c := range list {
				if err := a.install(c); err != nil {
					return err
				}
			}
			return a.bringUp(cmd, list, enable, o)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "call it `NAME`")
	cmd.Flags().BoolVar(&enable, "enable", false, "start it with the system, too")
	cmd.Flags().BoolVar(&build, "build", false, "build images also where they are there")
	o.flags(cmd)
	return cmd
}

// candidate reads and checks a file before anything is changed.
func (a *app) candidate(path, name string) (*catalog.Candidate, error) {
	c, err := catalog.ReadCandidate(path, name, a.stdin)
	if err != nil {
		return nil, notAFile(path, err)
	}
	problems, err := c.Check(searchpath.Dirs[0])
	if c.File.StartProblems().HasErrors() {
		return nil, &catalog.BrokenError{Problems: problems}
	}
	// An error here is of a service that does not start with the project.
	for _, p := range problems {
		if p.Severity != diag.Note {
			fmt.Fprintln(a.stderr, terminal.Clean(p.String()))
		}
	}
	return c, err
}

// notAFile tells who has named a definition, or the directory that it is in, what to write.
func notAFile(path string, err error) error {
	if found, findErr := catalog.Find("", path); errors.Is(err, fs.ErrNotExist) && findErr == nil && !strings.Contains(path, "/") {
		return usagef("up: there is no file %s here; what %s says starts by: unitc up %[2]s", path, found.Entry.Path)
	}
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(path, "/.") {
		for _, name := range composeFiles {
			if c, readErr := catalog.ReadCandidate(name, "", nil); readErr == nil {
				return usagef("up: there is no file %s here; unitc up %s starts all of the project, and systemctl start %s-%[1]s one service of it that is installed", path, name, c.Name)
			}
		}
	}
	if st, statErr := os.Stat(path); statErr == nil && st.IsDir() {
		return usagef("up: %s is a directory; name the file in it, as %s/compose.yaml", path, strings.TrimSuffix(path, "/"))
	}
	return err
}

// bringUp starts what does not run and changes what runs.
func (a *app) bringUp(cmd *cobra.Command, list []*catalog.Candidate, enable bool, o upOptions) error {
	if err := a.systemctl("daemon-reload"); err != nil {
		return err
	}
	var services, timers, targets, names, apart []string
	for _, c := range list {
		names = append(names, c.Name)
		if c.File.Project {
			targets = append(targets, c.Name+".target")
		}
		for i := range c.File.Services {
			s := &c.File.Services[i]
			switch {
			case strings.HasSuffix(s.Name, "@"):
				a.remark("%s is a template; start an instance of it: systemctl start %[1]s1", s.Name)
				continue
			case s.ByTime() && s.StartsWithProject():
				timers = append(timers, s.Name+".timer")
			case s.StartsWithProject():
				services = append(services, s.Name)
			default:
				continue
			}
			if !c.File.Project {
				apart = append(apart, unitOf(s))
			}
		}
	}
	if enable {
		if err := a.autostart(names, autostart.Unit.Enable, "start", false); err != nil {
			return err
		}
	}
	if o.noStart {
		return nil
	}
	var running []string
	if !o.noRecreate {
		err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
			names, looping, err := a.sortOut(ctx, bus, slices.Concat(services, stems(timers)))
			running = append(names, looping...)
			return err
		})
		if err != nil {
			return err
		}
	}
	if len(running) > 0 {
		list, err := a.differences(cmd, running)
		var anyway []string
		if o.recreate {
			anyway = services
		}
		if err == nil {
			err = a.applyAll(list, applyOptions{anyway: anyway})
		}
		var gone *units.NotRunningError
		if err != nil && !errors.As(err, &gone) {
			a.explain(cmd, services)
			return err
		}
	}
	for _, c := range list {
		if err := a.nameLeftBehind(c, o.orphans); err != nil {
			return err
		}
	}
	if len(services)+len(timers)+len(targets) == 0 {
		return nil
	}
	before := units.Now()
	err := a.systemctl(slices.Concat([]string{"start", "--"}, targets, apart)...)
	if len(targets) > 0 {
		err = cmp.Or(a.notStarted(cmd, slices.Concat(services, timers), before), err)
	}
	if err != nil {
		a.explain(cmd, services)
		return err
	}
	for _, name := range stems(timers) {
		a.remark("%s is started by %[1]s.timer: systemctl list-timers tells when; systemctl start %[1]s runs it now", name)
	}
	return a.showUnits(cmd, services)
}

// unitOf is what starts a service that is in no project.
func unitOf(s *definition.Service) string {
	if s.ByTime() {
		return s.Name + ".timer"
	}
	return s.Name + ".service"
}

// notStarted tells of containers and timers that have not started with their project. They are not
// asked for by name: of systemctl each name is a transaction, and a job that fails at
// once, a migration say, would be begun again for whoever requires it.
func (a *app) notStarted(cmd *cobra.Command, names []string, since units.Moment) (failed error) {
	err := a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		for _, name := range names {
			unit := unitfile.FullName(name)
			outcome, err := units.OutcomeOf(ctx, bus, unit, since)
			switch {
			case err != nil:
				return err
			case outcome == units.Failed:
				a.remark("%s has failed; unitc why %[1]s says more", name)
			case outcome == units.NotBegun && !begunByJournal(unit, since.At):
				a.remark("%s was not started: what it requires has failed, or it is masked; unitc why %[1]s says more", name)
			default:
				continue
			}
			failed = statusError(exitFailed)
		}
		return nil
	})
	return cmp.Or(err, failed)
}

// stems are the services of timers.
func stems(timers []string) (names []string) {
	for _, name := range timers {
		names = append(names, strings.TrimSuffix(name, ".timer"))
	}
	return names
}

// nameLeftBehind tells what runs of services that the definition no longer has, or stops
// it: a start of the project does not, as in Compose.
func (a *app) nameLeftBehind(c *catalog.Candidate, stop bool) error {
	var units []string
	for _, name := range a.launchedFrom(c.Target()) {
		_, err := catalog.Find("", name)
		var gone *catalog.NotFoundError
		none := slices.ContainsFunc(c.File.Services, func(s definition.Service) bool { return s.Name == name && s.Replicas != nil && *s.Replicas == 0 })
		switch {
		case (none || errors.As(err, &gone)) && stop:
			units = append(units, name+".service")
		case none:
			a.remark("%s runs and %s wants no instance of it; stop it with systemctl stop %[1]s", name, c.Target())
		case errors.As(err, &gone):
			a.remark("%s runs and is no longer in %s; stop it with systemctl stop %[1]s", name, c.Target())
		}
	}
	if len(units) == 0 {
		return nil
	}
	for _, unit := range units {
		fmt.Fprintf(a.stderr, "Stopping %s, which is no longer in %s.\n", strings.TrimSuffix(unit, ".service"), c.Target())
	}
	return a.systemctl(append([]string{"stop", "--"}, units...)...)
}

// launchedFrom are the containers that run and were defined by a file when they
// started, whatever it defines by now.
func (a *app) launchedFrom(path string) (names []string) {
	all, _ := a.host.Names()
	for _, name := range all {
		if s, err := a.host.Definition(name); err == nil && s.Source.File == path {
			names = append(names, name)
		}
	}
	return names
}

// explain adds what systemd was told of the units that failed.
func (a *app) explain(cmd *cobra.Command, services []string) {
	_ = a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		told := map[string]bool{}
		for _, name := range services {
			if state, err := units.State(ctx, bus, name+".service"); err != nil || state == "running" || state == "exited" {
				continue
			}
			if text := units.StatusText(ctx, bus, name+".service"); text != "" {
				fmt.Fprintf(a.stderr, "%s: %s\n", name, terminal.Clean(text))
			}
			for _, image := range units.FailedImages(ctx, bus, name+".service") {
				if text := units.StatusText(ctx, bus, image); text != "" && !told[image] {
					told[image] = true
					fmt.Fprintf(a.stderr, "%s: %s\n", strings.TrimSuffix(image, ".service"), terminal.Clean(text))
				}
			}
		}
		return nil
	})
}

func (a *app) showUnits(cmd *cobra.Command, names []string) error {
	if len(names) == 0 {
		return nil
	}
	list, err := a.listUnits(cmd, units.Question{Names: names})
	if err != nil {
		return err
	}
	return writeUnits(terminal.Of(a.stdout), list, a.now())
}
