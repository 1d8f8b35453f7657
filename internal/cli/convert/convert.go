// SPDX-License-Identifier: Apache-2.0

// Package convert makes definitions of what operators of other engines have:
// Podman's Quadlet files, YAML of Kubernetes' and command lines of docker run and
// podman run. What a definition cannot say, or says otherwise, is reported at its place, and stands
// as a comment in the definition. It reads files and writes none, and what it
// makes may not be trusted before it was checked: see Repair.
package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// Host is what the meaning of a file depends on besides its text.
type Host struct {
	// User: the definitions are to be a user's own, not the system's.
	User bool
	// Home, Runtime, Name, ID, Group and GID are the user's whom units run for: /root, /run,
	// root and 0 where that is the system.
	Home, Runtime, Name, ID, Group, GID string
	// Dir is where relative paths of a command line begin.
	Dir string
	// Getenv gives the variables of the caller's environment.
	Getenv func(name string) (string, bool)
	// ReadFile reads files that units take variables from.
	ReadFile func(path string) ([]byte, error)
	// ReadSource reads files of Kubernetes' that a .kube names; without it ReadFile does.
	ReadSource func(path string) (Source, error)
}

// File is one that was made.
type File struct {
	Name   string // web.yaml
	Data   []byte
	Mode   uint32
	Secret bool // nothing for a terminal
}

// Set is what is converted together: names in one file mean another of them.
type Set struct {
	host     Host
	problems diag.List
	defs     []*def
	quadlets []*quadlet
	kube     *project
	moved    map[string]bool // volumes of which was said how their data moves
	// elsewhere are networks whose files are not among those that are converted.
	elsewhere  map[string]bool
	toldOfUser bool
}

// New begins a conversion.
func New(host Host) *Set {
	return &Set{host: host, moved: map[string]bool{}, elsewhere: map[string]bool{}}
}

// unitc begins a command: a user's containers, volumes and images are spoken of with --user.
func (s *Set) unitc(verb string) string {
	if s.host.User {
		return "unitc --user " + verb + " "
	}
	return "unitc " + verb + " "
}

// Problems are what was found so far: losses are warnings.
func (s *Set) Problems() diag.List {
	list := slices.Clone(s.problems)
	list.Sort()
	return list.Compact()
}

// Files are the definitions, each with the file of its variables behind it.
func (s *Set) Files() []File {
	var files []File
	for _, d := range s.defs {
		if d.broken {
			continue
		}
		mode := uint32(0o644)
		if d.private {
			mode = 0o600
		}
		files = append(files, File{Name: d.file(), Data: d.write(), Mode: mode})
		if len(d.variables) > 0 {
			files = append(files, File{Name: d.variableFile(), Data: d.writeVariables(), Mode: 0o600})
		}
		files = append(files, d.extra...)
	}
	return files
}

// fileName is what a definition may be called: its file is written below a directory
// that somebody names.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}@?$`)

// add keeps a definition, unless it has no name or there is one of its name.
func (s *Set) add(d *def) {
	if !fileName.MatchString(d.name) {
		s.fault(d.from, "", fmt.Sprintf("%q is no name of a definition", d.name), "name it in letters, digits, _ . and -")
		return
	}
	for _, other := range s.defs {
		if other.file() == d.file() {
			s.fault(d.from, "", fmt.Sprintf("%s is made of %s already", d.file(), other.from.file), "convert one of the two, or give it another ServiceName=")
			return
		}
	}
	d.tellNoText()
	s.defs = append(s.defs, d)
}

func (s *Set) report(severity diag.Severity, rule string, at place, path, what, cure string) {
	s.problems = append(s.problems, diag.Problem{File: at.file, Line: at.line, Col: at.col, Severity: severity, Rule: rule, Path: path, What: what, Cure: cure})
}

func (s *Set) fault(at place, path, what, cure string) {
	s.report(diag.Error, diag.RuleValue, at, path, what, cure)
}

// Repair takes out of the definitions what a check found to be faults, and reports it
// as lost where it came from. It tells whether there is something to check again; if
// not, warnings of the check are reported too.
func (s *Set) Repair(found diag.List) (again bool) {
	for _, d := range s.defs {
		again = !d.broken && d.repair(found) || again
	}
	if again {
		return true
	}
	for _, d := range s.defs {
		for _, p := range found {
			if n := d.nodeOf(p); n != nil && p.File == d.file() && p.Severity == diag.Warning {
				d.changed(d.originOf(n), "unitc warns: "+withPath(p), p.Cure)
			}
		}
	}
	return false
}

func (d *def) repair(found diag.List) (again bool) {
	var gone []*node
	for _, p := range found {
		if p.File != d.file() || p.Severity != diag.Error {
			continue
		}
		n := d.nodeOf(p)
		if n == nil || d.isRoot(n) {
			origin := arg{at: d.from}
			if n != nil {
				origin = d.originOf(n)
			}
			d.set.fault(origin.at, origin.name, "no definition can be made of it: "+withPath(p), p.Cure)
			d.broken = true
			return true
		}
		if !slices.Contains(gone, n) {
			gone = append(gone, n)
			d.lost(d.originOf(n), "unitc refuses it: "+withPath(p), p.Cure)
			d.head = append(d.head, "  "+n.path+": "+n.inline())
		}
	}
	for _, n := range gone {
		d.remove(n)
	}
	if d.root.isEmpty() && strings.HasSuffix(d.name, ".network") {
		d.root.put("driver", scalarOf(arg{at: d.from}, "bridge"))
	}
	return len(gone) > 0
}

func withPath(p diag.Problem) string {
	if p.Path == "" {
		return p.What
	}
	return p.Path + ": " + p.What
}

// place is where something stands in what is converted.
type place struct {
	file      string
	line, col int
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// arg is one value and where it is from.
type arg struct {
	text string
	name string // Volume=, --volume
	at   place
}

func (a arg) with(text string) arg {
	a.text = text
	return a
}

// isTrue reads a switch as systemd does; what is none counts as off.
func isTrue(s string) bool {
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, strings.ToLower(s))
}
