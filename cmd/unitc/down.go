// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/searchpath"
)

func (a *app) down() *cobra.Command {
	purge, volumes, orphans := false, false, true
	cmd := &cobra.Command{
		Use:   "down [--purge] [--volumes] NAME|FILE…",
		Short: "stop containers and take their definitions away",
		Long: `Stop containers, do not start them with the system any more, and take their
definitions out of /etc/unitc: the reverse of unitc up. Each definition is kept as
NAME.yaml~, which nothing reads, unless --purge is given. Images stay, and so do volumes without --volumes.`,
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
			if err := a.systemctl("daemon-reload"); err != nil || !volumes {
				return err
			}
			return a.removeVolumesOf(list)
		},
	}
	cmd.Flags().BoolVarP(&volumes, "volumes", "v", false, "remove a project's volumes, with their data, and those without a name")
	cmd.Flags().BoolVar(&orphans, "remove-orphans", true, "is always so")
	cmd.Flags().BoolVar(&purge, "purge", false, "keep no copy of the definitions")
	return cmd
}

// removable finds a whole definition that is the administrator's.
func (a *app) removable(arg string) (*catalog.Found, error) {
	name := arg
	// A file that stands here is called as `unitc up` called it: compose.yaml by its project.
	st, err := os.Stat(arg)
	here := err == nil && st.Mode().IsRegular() && strings.HasSuffix(arg, ".yaml")
	if here || strings.Contains(arg, "/") || strings.HasSuffix(arg, ".yml") {
		c, err := catalog.ReadCandidate(arg, "", nil)
		if err != nil {
			return nil, err
		}
		name = c.Name
	}
	found, err := catalog.Find("", name)
	if err != nil {
		return nil, a.stillRuns(name, err)
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

// withoutDefinition is what runs of a definition whose file is gone, by whatever hand.
type withoutDefinition struct {
	name  string
	units []string
	err   error // that it was not found
}

func (e *withoutDefinition) Error() string {
	return fmt.Sprintf("%s has no definition any more, and runs; stop it with systemctl stop %s", e.name, strings.Join(e.units, " "))
}

func (e *withoutDefinition) Unwrap() error { return e.err }

// stillRuns says how to stop what a definition has started that is not found.
func (a *app) stillRuns(name string, err error) error {
	var notFound *catalog.NotFoundError
	if !errors.As(err, &notFound) {
		return err
	}
	stem := units.Stem(name)
	running := a.launchedFrom(searchpath.Dirs[0] + "/" + stem + ".yaml")
	if _, runs := a.host.Started(stem); runs && !slices.Contains(running, stem) {
		running = append(running, stem)
	}
	if len(running) == 0 {
		return err
	}
	slices.Sort(running)
	return &withoutDefinition{stem, running, err}
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
	base := strings.TrimSuffix(found.Entry.Path, ".yaml")
	// The definition first: whenever the power is cut, none starts without what belongs
	// to it, nor one that was disabled.
	if err := a.removeFile(base+".yaml", purge); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(base)); err != nil {
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
	for _, path := range []string{strings.TrimSuffix(base, "@") + ".env", base + searchpath.EndCopies} {
		if err := a.removeFile(path, purge); err != nil {
			return err
		}
	}
	return a.removeDropIns(base+".yaml.d", purge)
}

// removeVolumesOf removes what a project declares under volumes:, but what is external,
// and what has been made for a container alone. What a lone definition names others may
// name, too.
func (a *app) removeVolumesOf(list []*catalog.Found) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	there, err := s.Volumes()
	if err != nil {
		return err
	}
	var gone []string
	for _, found := range list {
		for _, v := range there {
			declared := slices.ContainsFunc(found.File.Volumes, func(n definition.NamedVolume) bool { return n.Name == v.Name && !n.External })
			own := v.Anonymous && slices.ContainsFunc(found.File.Services, func(d definition.Service) bool { return isInstanceOf(v.Unit, d.Name) })
			switch {
			case slices.Contains(gone, v.Name):
			case declared || own:
				gone = append(gone, v.Name)
			case slices.ContainsFunc(found.File.Services, func(d definition.Service) bool { return mountsVolume(&d, v.Name) }):
				a.remark("The volume %s stays: unitc volume rm %[1]s removes it.", v.Name)
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	// A user's are removed in the user's own namespace.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, ofSystemd(append([]string{"volume", "rm", "--"}, gone...))...)
	cmd.Stderr = a.stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return statusError(exitFailed) // it has said why
	} else if err != nil {
		return err
	}
	for _, name := range gone {
		fmt.Fprintf(a.stderr, "Removed the volume %s.\n", name)
	}
	return nil
}

// isInstanceOf tells whether a unit is a container's, or an instance of the template.
func isInstanceOf(unit, name string) bool {
	unit = strings.TrimSuffix(unit, ".service")
	return unit == name || strings.HasSuffix(name, "@") && strings.HasPrefix(unit, name)
}

func mountsVolume(s *definition.Service, name string) bool {
	return slices.ContainsFunc(s.Volumes, func(v definition.Volume) bool { return v.Type == definition.VolumeNamed && v.Source == name })
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
