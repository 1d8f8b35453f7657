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

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/autostart"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/searchpath"
)

func (a *app) up() *cobra.Command {
	name, enable := "", false
	cmd := &cobra.Command{
		Use:   "up [--name NAME] [--enable] FILE…|-",
		Short: "install definitions, start them and wait until they are up",
		Long: `Check definitions, install them in /etc/unitc, reload systemd, start them and wait
until they are up. What runs already is brought to what its file now says, as by
unitc apply. A file called compose.yaml becomes the project of the name that .env,
name: or its directory gives, and takes the .env and the compose.override.yaml beside it along;
relative paths begin where the file is, and copies of what it extends and includes are installed too. A definition that was there before is kept as NAME.yaml~.`,
		Example: "  unitc up web.yaml\n  unitc up --name blog ./compose.yaml",
		Args:    some("the file of a definition"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("up: nothing runs in --root %s; copy the file to %s%s", a.root, a.root, searchpath.Dirs[0])
			}
			if name != "" && len(args) > 1 {
				return usagef("up: --name goes with one file")
			}
			if err := a.booted(); err != nil {
				return err
			}
			var list []*catalog.Candidate
			for _, arg := range args {
				c, err := a.candidate(arg, name)
				if err != nil {
					return err
				}
				list = append(list, c)
			}
			for _, c := range list {
				if err := a.install(c); err != nil {
					return err
				}
			}
			return a.bringUp(cmd, list, enable)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "call it `NAME`")
	cmd.Flags().BoolVar(&enable, "enable", false, "start it with the system, too")
	return cmd
}

// candidate reads and checks a file before anything is changed.
func (a *app) candidate(path, name string) (*catalog.Candidate, error) {
	c, err := catalog.ReadCandidate(path, name, a.stdin)
	if err != nil {
		return nil, err
	}
	problems, err := c.Check(searchpath.Dirs[0])
	if problems.HasErrors() {
		return nil, &catalog.BrokenError{Problems: problems}
	}
	for _, p := range problems {
		if p.Severity == diag.Warning {
			fmt.Fprintln(a.stderr, p)
		}
	}
	return c, err
}

// install puts the files in their places; the same ones there already are none
// of its business.
func (a *app) install(c *catalog.Candidate) error {
	if err := os.MkdirAll(searchpath.Dirs[0], 0o755); err != nil {
		return err
	}
	if c.Path == c.Target() {
		return nil // with all that stands beside it
	}
	files, err := stageFiles(c)
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	if len(c.Env) > 0 {
		if err := a.installFile(c.EnvTarget(), c.EnvData(), 0o600); err != nil {
			return err
		}
	}
	if c.Directory != "" {
		fmt.Fprintf(a.stderr, "Relative paths of '%s' begin in '%s', as x-directory: says.\n", c.Target(), c.Directory)
	}
	if err := a.installOverrides(c); err != nil {
		return err
	}
	if err := a.installFile(c.Target(), c.Data, c.Mode); err != nil {
		return err
	}
	return a.placeFiles(c, files)
}

// stageFiles writes copies of the files that a definition names beside their place;
// "" = they are there already, or there are none.
func stageFiles(c *catalog.Candidate) (string, error) {
	if len(c.Named) == 0 || c.HasFiles(c.FilesTarget()) {
		return "", nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(c.FilesTarget()), "."+filepath.Base(c.FilesTarget())+"-")
	if err != nil {
		return "", err
	}
	if err = os.Chmod(dir, 0o755); err == nil {
		err = c.WriteFiles(dir)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
	}
	return dir, err
}

// placeFiles has the copies take the place of those of an earlier time, which are
// kept as the definition of that time is.
func (a *app) placeFiles(c *catalog.Candidate, staged string) error {
	target := c.FilesTarget()
	if len(c.Named) == 0 {
		return a.removeFile(target, true)
	}
	if staged == "" {
		return nil
	}
	verb := "Installed"
	err := unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.Rename(staged, target)
	case err == nil:
		verb = "Replaced"
		if err = os.RemoveAll(target + "~"); err == nil {
			err = os.Rename(staged, target+"~")
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s '%s', copies of what it names.\n", verb, target)
	return nil
}

// installOverrides makes drop-ins of what Compose would merge, and takes those of
// an earlier time away.
func (a *app) installOverrides(c *catalog.Candidate) error {
	dir := filepath.Dir(c.OverrideTarget(0))
	if len(c.Overrides) > 0 {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i, layer := range c.Overrides {
		if err := a.installFile(c.OverrideTarget(i), layer.Data, c.Mode); err != nil {
			return err
		}
	}
	items, _ := os.ReadDir(dir)
	for _, item := range items {
		if catalog.OverrideNumber(item.Name()) >= len(c.Overrides) {
			if err := a.removeFile(filepath.Join(dir, item.Name()), true); err != nil {
				return err
			}
		}
	}
	_ = os.Remove(dir) // unless there are others
	return nil
}

func (a *app) installFile(path string, data []byte, mode fs.FileMode) error {
	before, err := os.ReadFile(path)
	if err == nil && bytes.Equal(before, data) {
		return nil
	}
	verb := "Installed"
	if err == nil {
		verb = "Replaced"
		if err := keepBackup(path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeWhole(path, data, mode); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s '%s'.\n", verb, path)
	return nil
}

// keepBackup makes a second name, so that the first is never missing.
func keepBackup(path string) error {
	err := os.Remove(path + "~")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(path, path+"~")
}

// bringUp starts what does not run and changes what runs.
func (a *app) bringUp(cmd *cobra.Command, list []*catalog.Candidate, enable bool) error {
	if err := a.systemctl("daemon-reload"); err != nil {
		return err
	}
	var services, timers, targets, names []string
	for _, c := range list {
		names = append(names, c.Name)
		if c.File.Project {
			targets = append(targets, c.Name+".target")
		}
		for i := range c.File.Services {
			s := &c.File.Services[i]
			switch {
			case strings.HasSuffix(s.Name, "@"):
				fmt.Fprintf(a.stderr, "%s is a template; start an instance of it: systemctl start %s1\n", s.Name, s.Name)
			case s.ByTime() && s.StartsWithProject():
				timers = append(timers, s.Name+".timer")
			case s.StartsWithProject():
				services = append(services, s.Name)
			}
		}
	}
	if enable {
		if err := a.autostart(names, autostart.Unit.Enable, "start", false); err != nil {
			return err
		}
	}
	var running []string
	for _, name := range append(slices.Clone(services), stems(timers)...) {
		if _, ok := a.host.Started(name); ok {
			running = append(running, name)
		}
	}
	if len(running) > 0 {
		list, err := a.differences(cmd, running)
		if err == nil {
			err = a.applyAll(list, false)
		}
		var gone *units.NotRunningError
		if err != nil && !errors.As(err, &gone) {
			a.explain(cmd, services)
			return err
		}
	}
	for _, c := range list {
		a.nameLeftBehind(c)
	}
	if len(services)+len(timers)+len(targets) == 0 {
		return nil
	}
	if err := a.systemctl(slices.Concat([]string{"start", "--"}, services, timers, targets)...); err != nil {
		a.explain(cmd, services)
		return err
	}
	for _, name := range stems(timers) {
		fmt.Fprintf(a.stderr, "%s is started by %s.timer: systemctl list-timers tells when; systemctl start %s runs it now\n", name, name, name)
	}
	return a.showUnits(cmd, services)
}

// stems are the services of timers.
func stems(timers []string) (names []string) {
	for _, name := range timers {
		names = append(names, strings.TrimSuffix(name, ".timer"))
	}
	return names
}

// nameLeftBehind tells what runs of services that the definition no longer has:
// a start of the project does not stop them, as in Compose.
func (a *app) nameLeftBehind(c *catalog.Candidate) {
	for _, name := range a.launchedFrom(c.Target()) {
		_, err := catalog.Find("", name)
		var gone *catalog.NotFoundError
		none := slices.ContainsFunc(c.File.Services, func(s definition.Service) bool { return s.Name == name && s.Replicas != nil && *s.Replicas == 0 })
		switch {
		case none:
			fmt.Fprintf(a.stderr, "%s runs and %s wants no instance of it; stop it with systemctl stop %s\n", name, c.Target(), name)
		case errors.As(err, &gone):
			fmt.Fprintf(a.stderr, "%s runs and is no longer in %s; stop it with systemctl stop %s\n", name, c.Target(), name)
		}
	}
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
		for _, name := range services {
			if state, err := units.State(ctx, bus, name+".service"); err != nil || state == "running" || state == "exited" {
				continue
			}
			if text := units.StatusText(ctx, bus, name+".service"); text != "" {
				fmt.Fprintf(a.stderr, "%s: %s\n", name, terminal.Clean(text))
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

func (a *app) down() *cobra.Command {
	purge := false
	cmd := &cobra.Command{
		Use:   "down [--purge] NAME|FILE…",
		Short: "stop containers and take their definitions away",
		Long: `Stop containers, do not start them with the system any more, and take their
definitions out of /etc/unitc: the reverse of unitc up. Each definition is kept as
NAME.yaml~, which nothing reads, unless --purge is given. Images and volumes stay.`,
		Args:              some("the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("down: nothing runs in --root %s", a.root)
			}
			if err := a.booted(); err != nil {
				return err
			}
			var list []*catalog.Found
			for _, arg := range args {
				found, err := a.removable(arg)
				if err != nil {
					return err
				}
				list = append(list, found)
			}
			for _, found := range list {
				if err := a.takeDown(found, purge); err != nil {
					return err
				}
			}
			return a.systemctl("daemon-reload")
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "keep no copy of the definitions")
	return cmd
}

// removable finds a whole definition that is the administrator's.
func (a *app) removable(arg string) (*catalog.Found, error) {
	name := arg
	if strings.Contains(arg, "/") || strings.HasSuffix(arg, ".yml") {
		c, err := catalog.ReadCandidate(arg, "", nil)
		if err != nil {
			return nil, err
		}
		name = c.Name
	}
	found, err := catalog.Find("", name)
	if err != nil {
		return nil, err
	}
	if found.File.Project && !found.Project {
		return nil, usagef("%s is one service of the project %s; stop it with systemctl, or take the project down", arg, found.File.Name)
	}
	if strings.Contains(units.Stem(name), "@") && !strings.HasSuffix(units.Stem(name), "@") {
		return nil, usagef("%s is an instance of a template; stop it with systemctl", arg)
	}
	if !isAdministrators(found.Entry.Path) {
		return nil, usagef("%s belongs to a package; unitc disable --now %s keeps it from running", found.Entry.Path, arg)
	}
	// Before anything is stopped that could then not be taken away.
	if err := unix.Access(filepath.Dir(found.Entry.Path), unix.W_OK); err != nil {
		return nil, &fs.PathError{Op: "removing", Path: found.Entry.Path, Err: err}
	}
	return found, nil
}

// takeDown stops what runs of a definition, then removes its files. A stop that
// fails leaves them: the unit must stay known while something of it runs.
func (a *app) takeDown(found *catalog.Found, purge bool) error {
	names := []string{}
	if found.Project {
		names = append(names, found.File.Name+".target")
	}
	services := found.Services
	if len(services) == 0 {
		services = []definition.Service{{Name: found.File.Name}}
	}
	for _, s := range services {
		unit := s.Name + ".service"
		if strings.HasSuffix(s.Name, "@") {
			unit = s.Name + "*.service" // all instances that are loaded
		}
		// What would start it again stops first.
		for _, name := range append(s.Triggers(), s.PortSockets()...) {
			names = append(names, strings.Replace(name, "@.", "@*.", 1))
		}
		names = append(names, unit)
	}
	// What it defined when it was started, and does not any more, stops too.
	for _, name := range a.launchedFrom(found.Entry.Path) {
		if unit := name + ".service"; !slices.Contains(names, unit) {
			names = append(names, unit)
		}
	}
	if err := a.systemctl(append([]string{"stop", "--"}, names...)...); err != nil {
		return err
	}
	// A failed unit whose file goes would be listed until the next boot.
	if err := a.forget(names); err != nil {
		return err
	}
	list, err := a.autostartUnits([]string{found.Entry.Name}, false)
	var broken *catalog.BrokenError
	var template *catalog.TemplateError
	if err != nil && !errors.As(err, &broken) && !errors.As(err, &template) {
		return err
	}
	for _, u := range list {
		changes, err := u.Forget()
		for _, c := range changes {
			fmt.Fprintln(a.stderr, c)
		}
		if err != nil {
			return err
		}
	}
	base := strings.TrimSuffix(found.Entry.Path, ".yaml")
	for _, path := range []string{strings.TrimSuffix(base, "@") + ".env", base + ".yaml", base + searchpath.EndCopies} {
		if err := a.removeFile(path, purge); err != nil {
			return err
		}
	}
	return a.removeDropIns(base+".yaml.d", purge)
}

// forget resets what has failed; a unit that systemd does not know is no fault.
func (a *app) forget(names []string) error {
	quiet := *a
	quiet.stderr = nil
	var status statusError
	if err := quiet.systemctl(append([]string{"reset-failed", "--"}, names...)...); err != nil && !errors.As(err, &status) {
		return err
	}
	return nil
}

func (a *app) removeFile(path string, purge bool) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var err error
	if purge {
		err = os.RemoveAll(path)
	} else if err = os.RemoveAll(path + "~"); err == nil {
		err = os.Rename(path, path+"~")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Removed '%s'.\n", path)
	return nil
}

// removeDropIns takes away what update-limits and up have made; what somebody wrote
// stays, and is named.
func (a *app) removeDropIns(dir string, purge bool) error {
	items, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	left := 0
	for _, item := range items {
		if purge || strings.HasPrefix(item.Name(), limitsPrefix) || catalog.OverrideNumber(strings.TrimSuffix(item.Name(), "~")) >= 0 {
			if err := a.removeFile(filepath.Join(dir, item.Name()), true); err != nil {
				return err
			}
			continue
		}
		left++
	}
	if left > 0 {
		fmt.Fprintf(a.stderr, "'%s' stays: it has drop-ins of yours.\n", dir)
		return nil
	}
	return os.Remove(dir)
}
