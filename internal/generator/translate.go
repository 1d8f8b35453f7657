// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/resource"
	"github.com/unitc/unitc/internal/unitfile"
)

const serviceSuffix = ".service"

// unit is what one service becomes on disk.
type unit struct {
	name     string // web.service
	text     []byte
	resolved []byte // for the helper, nil for a unit that starts none
	links    []link
	// careful is the text of the same unit with clean-up, nil if text has it.
	careful func() []byte
	// shared is a unit that several definitions want and that is the same for all.
	shared bool
	// container is a service's own unit.
	container bool
	// starts is the service's unit that this one starts: a timer, a socket.
	starts string
	// problems were found here, not by the parser; they are in resolved too.
	problems diag.List
}

// link is a symbolic link below the output directory.
type link struct {
	dir  string // a directory as multi-user.target.wants; "" for an alias
	name string
	unit string // what it leads to
}

func (l *link) isAlias() bool { return l.dir == "" }

func (u *unit) stem() string { return strings.TrimSuffix(u.name, serviceSuffix) }

// translate makes the units of a definition. It is pure: same input, same
// bytes (G-8).
func translate(file definition.File, outDir, helper string, space *room) []unit {
	if len(file.Services) == 0 && len(file.Networks) == 0 {
		problems := file.Problems
		if !problems.HasErrors() {
			problems = append(problems[:len(problems):len(problems)], diag.Problem{File: file.Path, What: "it defines no service", Cure: "write rootfs: or image:"})
		}
		return []unit{errorUnit(unitName(file.Name), file.Path, problems, outDir, helper, space)}
	}
	units := slices.Grow(space.units[:0], len(file.Services)+1)
	if file.Project {
		units = append(units, projectTarget(file))
	}
	units = append(units, networkUnits(file, outDir, helper)...)
	for i := range file.Services {
		units = translateService(units, file, &file.Services[i], outDir, helper, space)
	}
	space.units = units
	return units
}

// translateService adds the service's unit and those that come with it.
func translateService(units []unit, file definition.File, s *definition.Service, outDir, helper string, space *room) []unit {
	t := space.translation(translation{service: s, project: file.Services, source: file.Path, outDir: outDir, helper: helper, room: space})
	problems := file.ProblemsOf(s)
	t.unit.name, t.unit.container = unitName(s.Name), true
	if t.unit.stem() != s.Name && !problems.HasErrors() {
		t.fault("", "no unit can have the name "+unitfile.Printable(s.Name), "rename the definition to letters, digits, - and _")
	}
	t.unit.problems = append(t.unit.problems, resource.Check(s)...)
	t.install()
	t.broken = problems.HasErrors() || t.unit.problems.HasErrors()
	text := t.text(problems)
	triggers := t.triggers()
	if !t.broken && t.unit.problems.HasErrors() {
		// A value that no unit file can hold was met while writing.
		t.broken = true
		text = t.text(problems)
	}
	t.unit.text = text
	if !t.cleansUp() {
		t.unit.careful = func() []byte {
			t.cleans = true
			return t.text(problems)
		}
	}
	t.unit.resolved = space.keep(resolve(space.free(), s, append(problems[:len(problems):len(problems)], t.unit.problems...)))
	triggers = append(triggers, t.portUnits()...)
	for i := range triggers {
		triggers[i].starts = t.unit.name
	}
	units = append(append(units, t.unit), triggers...)
	units = append(units, t.waitUnits()...)
	units = append(units, t.imageUnits()...)
	return append(append(units, t.volumeUnits()...), t.updateUnits()...)
}

// errorUnit is the unit of a definition that nothing could be made of: starting
// it prints the problems and fails. It is started at boot, so that it stands in
// `systemctl --failed`.
func errorUnit(name, source string, problems diag.List, outDir, helper string, space *room) unit {
	t := translation{source: source, outDir: outDir, helper: helper, broken: true, room: space}
	t.unit.name = name
	t.unit.text = t.text(problems)
	t.unit.resolved = space.keep(resolve(space.free(), nil, problems))
	if !t.isTemplate() {
		t.unit.links = []link{bootLink(name, name)}
	}
	return t.unit
}

// resolve appends the JSON that the helper reads. Problems come sorted by place.
func resolve(b []byte, s *definition.Service, problems diag.List) []byte {
	problems.Sort()
	r := definition.Resolved{Version: definition.ResolvedVersion, Service: s, Problems: problems}
	return append(r.AppendJSON(b), '\n')
}

// unitName is the name of a definition's service. What no unit can be called is
// escaped as systemctl escapes its arguments, so that the error unit is found
// under the name that an operator types.
func unitName(name string) string {
	if mangled := unitfile.MangleName(name) + serviceSuffix; unitfile.NameKind(mangled) != unitfile.Invalid {
		return mangled
	}
	hash := fnv.New32a()
	hash.Write([]byte(name))
	return fmt.Sprintf("unitc-invalid-%08x%s", hash.Sum32(), serviceSuffix)
}
