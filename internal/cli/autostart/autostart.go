// SPDX-License-Identifier: Apache-2.0

// Package autostart makes and removes the links that decide whether a
// generated unit starts with the system. systemctl refuses to ("transient or
// generated"), and a generator can only say what the definition says; what the
// administrator wants on top of it is a link below /etc, where systemd looks
// first (systemd.unit(5)):
//
//	multi-user.target.wants/web.service -> the generated unit   started, whatever the definition says
//	multi-user.target.wants/web.service -> /dev/null            not started, whatever the definition says
//
// It touches nothing but links of these two forms.
package autostart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/realm"
)

// dir is the administrator's directory of units.
func dir() string { return realm.NativeUnits()[0] }

// defaultTarget is the target of what says nothing else, as for containers
// that the generator starts at boot.
func defaultTarget() string { return realm.BootTarget() }

// mask is what a link points to that takes another's place and does nothing.
const mask = "/dev/null"

// suffixes of the directories whose links start a unit with another.
var suffixes = []string{".wants", ".requires", ".upholds"}

// Unit is the unit in question.
type Unit struct {
	Root      string // "" is the host
	Name      string // web.service, worker@1.service
	Fragment  string // absolute path of the generated file, as the links name it
	Generated string // the directory of generated units
	// Starters are the generator's own links, as "multi-user.target.wants/web.service".
	Starters []string
	// Pulled is true for a service whose project's target, timer or socket is changed
	// with it: that starts it, so it gets no link of its own.
	Pulled bool
}

// Change is one link that was made or removed.
type Change struct {
	Path    string
	Target  string
	Removed bool
}

func (c Change) String() string {
	if c.Removed {
		return fmt.Sprintf("Removed '%s'.", c.Path)
	}
	return fmt.Sprintf("Created symlink '%s' → '%s'.", c.Path, c.Target)
}

// ForeignError is a file in a link's place that is not ours to replace.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is there and is no link of unitc's; remove it, or use systemctl(1)", e.Path)
}

// Enable lets the unit start with the system. Changes are those made so far,
// also with an error.
func (u Unit) Enable() ([]Change, error) {
	changes, err := u.remove(func(target string) bool { return target == mask })
	if err != nil || len(u.Starters) > 0 || u.Pulled {
		return u.sync(changes, err)
	}
	made, err := u.link(defaultTarget()+".wants/"+u.Name, u.Fragment)
	return u.sync(append(changes, made...), err)
}

// Disable keeps the unit from starting with the system.
func (u Unit) Disable() ([]Change, error) {
	changes, err := u.remove(func(target string) bool { return strings.HasPrefix(target, u.Generated+"/") })
	for _, path := range u.Starters {
		if err != nil {
			break
		}
		var made []Change
		made, err = u.link(path, mask)
		changes = append(changes, made...)
	}
	return u.sync(changes, err)
}

// Forget removes all links that Enable and Disable have made.
func (u Unit) Forget() ([]Change, error) {
	return u.sync(u.remove(func(target string) bool { return target == mask || strings.HasPrefix(target, u.Generated+"/") }))
}

// sync makes changes last: what was disabled does not start behind a power cut.
func (u Unit) sync(changes []Change, err error) ([]Change, error) {
	synced := map[string]bool{}
	for _, c := range changes {
		// The directory of the links may be new, or gone.
		for _, d := range []string{filepath.Dir(c.Path), dir()} {
			if synced[d] {
				continue
			}
			synced[d] = true
			if syncErr := atomicfile.SyncDir(u.Root + d); !errors.Is(syncErr, fs.ErrNotExist) {
				err = errors.Join(err, syncErr)
			}
		}
	}
	return changes, err
}

// Enabled tells whether a link that Enable has made is there.
func (u Unit) Enabled() bool {
	dirs, _ := os.ReadDir(u.Root + dir())
	for _, d := range dirs {
		target, err := os.Readlink(u.Root + dir() + "/" + d.Name() + "/" + u.Name)
		if err == nil && isStarterDir(d.Name()) && strings.HasPrefix(target, u.Generated+"/") {
			return true
		}
	}
	return false
}

// link makes one link. The same one there already is no change.
func (u Unit) link(name, target string) ([]Change, error) {
	path := dir() + "/" + name
	real := u.Root + path
	if have, err := os.Readlink(real); err == nil && have == target {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		return nil, err
	}
	err := os.Symlink(target, real)
	if errors.Is(err, fs.ErrExist) {
		return nil, &ForeignError{path}
	}
	if err != nil {
		return nil, err
	}
	return []Change{{Path: path, Target: target}}, nil
}

// remove takes away this unit's links whose target is one of ours, and the
// directories that are empty then.
func (u Unit) remove(ours func(target string) bool) ([]Change, error) {
	var changes []Change
	dirs, err := os.ReadDir(u.Root + dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if !d.IsDir() || !isStarterDir(d.Name()) {
			continue
		}
		path := dir() + "/" + d.Name() + "/" + u.Name
		target, err := os.Readlink(u.Root + path)
		if err != nil || !ours(target) {
			continue
		}
		if err := os.Remove(u.Root + path); err != nil {
			return changes, err
		}
		changes = append(changes, Change{Path: path, Removed: true})
		// It stays if others have links in it.
		_ = os.Remove(filepath.Dir(u.Root + path))
	}
	return changes, nil
}

func isStarterDir(name string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// Link is one below the administrator's directory of units that Enable or Disable
// makes.
type Link struct {
	Path, Unit string
	Masks      bool // it points to /dev/null
}

// Links are all that are there, in byte order, whoever made those to /dev/null.
// generated is the directory that the others point into.
func Links(root, generated string) (links []Link) {
	dirs, _ := os.ReadDir(root + dir())
	for _, d := range dirs {
		if !isStarterDir(d.Name()) {
			continue
		}
		items, _ := os.ReadDir(root + dir() + "/" + d.Name())
		for _, item := range items {
			path := dir() + "/" + d.Name() + "/" + item.Name()
			target, err := os.Readlink(root + path)
			if err == nil && (target == mask || strings.HasPrefix(target, generated+"/")) {
				links = append(links, Link{Path: path, Unit: item.Name(), Masks: target == mask})
			}
		}
	}
	return links
}

// unitDirs are where a unit may have its file, besides those that the generator
// of definitions makes (systemd.unit(5)).
func unitDirs() []string {
	return append(realm.NativeUnits(), realm.Systemd+"/transient", realm.Systemd+"/generator.early", realm.Systemd+"/generator", "/lib/systemd/"+realm.Kind())
}

// IsStale tells that a link is of no unit any more: it does nothing, and will hold
// for the next definition of that name. has tells of the units of definitions.
func (l Link) IsStale(root string, has func(unit string) bool) bool {
	names := []string{l.Unit}
	if at := strings.IndexByte(l.Unit, '@'); at >= 0 {
		names = append(names, l.Unit[:at+1]+filepath.Ext(l.Unit))
	}
	for _, name := range names {
		if has(name) {
			return false
		}
		for _, d := range unitDirs() {
			if _, err := os.Lstat(root + d + "/" + name); err == nil {
				return false
			}
		}
	}
	return true
}

// Masked is the link by which systemctl mask forbids a unit, "" if there is none.
func Masked(root, unit string) string {
	for _, d := range []string{dir(), realm.Systemd + "/" + realm.Kind()} {
		if target, err := os.Readlink(root + d + "/" + unit); err == nil && target == mask {
			return d + "/" + unit
		}
	}
	return ""
}
