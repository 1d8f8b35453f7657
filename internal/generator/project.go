// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/unitfile"
)

const (
	targetSuffix = ".target"
	timerSuffix  = ".timer"
	socketSuffix = ".socket"
)

// projectTarget is the unit that starts, stops and restarts a project. It only
// wants its services: one that fails does not keep the others from starting,
// as with `docker compose up -d`. A target is ordered after what it wants by
// itself (systemd.target(5)), so it is active when they are.
func projectTarget(file definition.File) unit {
	var w unitfile.Writer
	w.Comment(generatedFrom + file.Path) // G-9
	w.Section("Unit")
	w.Set("Description", "Project "+unitfile.EscapeSpecifiers(unitfile.Printable(file.Name)))
	if unitfile.Printable(file.Path) == file.Path {
		w.Set("SourcePath", unitfile.EscapeSpecifiers(file.Path)) // G-10
	}
	for i := range file.Services {
		switch s := &file.Services[i]; {
		case !s.StartsWithProject():
		case s.ByTime() && !file.ProblemsOf(s).HasErrors():
			w.Set("Wants", strings.TrimSuffix(unitName(s.Name), serviceSuffix)+timerSuffix)
		default:
			w.Set("Wants", unitName(s.Name))
		}
	}
	// For those who look: `systemctl list-dependencies` goes from a target to
	// its services and no further.
	for _, name := range projectVolumes(file) {
		w.Set("Wants", name)
	}
	text, _ := w.Bytes()
	return unit{name: targetName(file), text: text}
}

func targetName(file definition.File) string { return unitfile.MangleName(file.Name) + targetSuffix }

func projectVolumes(file definition.File) []string {
	var names []string
	for i := range file.Services {
		if s := &file.Services[i]; s.StartsWithProject() {
			names = append(names, volumeNames(s)...)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return unitfile.NameKind(name) == unitfile.Invalid })
}

// projectDependencies puts a service into its project's life.
func (t *translation) projectDependencies() {
	s := t.service
	if s.Project != "" {
		// Stopping or restarting the target reaches the services; nothing goes
		// the other way, nor from one service to another.
		t.w.Set("PartOf", unitfile.MangleName(s.Project)+targetSuffix)
	}
	for _, d := range s.DependsOn {
		other := unitName(d.Service)
		if t.starts(d) {
			t.w.Set(dependencyType(d), other)
		}
		t.w.Set("After", other)
		if d.Restart {
			t.w.Set("PartOf", other)
		}
	}
}

// starts tells whether a dependency starts the other service. Compose passes over
// one of no instance, and an optional one whose profile nobody has asked for.
func (t *translation) starts(d definition.Dependency) bool {
	i := slices.IndexFunc(t.project, func(s definition.Service) bool { return s.Name == d.Service })
	if i < 0 || t.project[i].StartsWithProject() {
		return true
	}
	none := t.project[i].Replicas != nil && *t.project[i].Replicas == 0
	return !d.Optional && (!none || d.Condition != definition.ServiceStarted)
}

// dependencyType: Requires= would also stop this service whenever the other is
// stopped or restarted by hand, and leave it stopped, which Compose never does;
// that is the price only where the other's success was asked for.
func dependencyType(d definition.Dependency) string {
	if d.Optional || d.Condition == definition.ServiceStarted {
		return "Wants"
	}
	return "Requires"
}

// trigger is a unit that starts the service: by time or at a connection.
type trigger struct {
	suffix, section, word string
	target                string // what wants it at boot
	directives            []definition.Directive
}

// triggers are NAME.timer, which starts NAME.service by time, and NAME.socket,
// which starts it at the first connection. Having written one, the operator
// wants it to run: it is linked as `systemctl enable` would.
func (t *translation) triggers() (units []unit) {
	if t.broken {
		return nil
	}
	for _, tr := range []trigger{
		{timerSuffix, "Timer", "Timer", "timers.target", t.service.System.Timer},
		{socketSuffix, "Socket", "Sockets", "sockets.target", t.service.System.Socket},
	} {
		if len(tr.directives) == 0 {
			continue
		}
		name := t.unit.stem() + tr.suffix
		u := unit{name: name, text: t.triggerText(tr)}
		if t.unit.problems.HasErrors() {
			return nil
		}
		if !t.isTemplate() && t.service.StartsWithProject() {
			u.links = []link{{dir: tr.target + ".wants", name: name, unit: name}}
		}
		units = append(units, u)
	}
	return units
}

func (t *translation) triggerText(tr trigger) []byte {
	t.w = unitfile.NewWriter(t.room.free())
	t.w.Comment(generatedFrom + t.source) // G-9
	t.w.Section("Unit")
	t.w.Set("Description", tr.word+" of "+t.unit.stem())
	t.w.Set("SourcePath", unitfile.EscapeSpecifiers(t.source)) // G-10
	if t.service.Project != "" {
		t.w.Set("PartOf", unitfile.MangleName(t.service.Project)+targetSuffix)
	}
	t.w.Section(tr.section)
	t.pass(tr.directives)
	return t.finish()
}
