// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/unitfile"
)

// maxLinks bounds what one definition may add to the output directory.
const maxLinks = 64

func bootTarget() string { return realm.BootTarget() }

// wantDir is the directory of systemd.unit(5) that does what a directive of
// [Install] asks, "" if it asks for no such link.
func wantDir(directive string) string {
	switch directive {
	case "WantedBy":
		return ".wants"
	case "RequiredBy":
		return ".requires"
	case "UpheldBy":
		return ".upholds"
	}
	return ""
}

// bootLink starts unit with the boot; target is the file of it.
func bootLink(unit, target string) link {
	return link{dir: bootTarget() + ".wants", name: unit, unit: target}
}

// install does by hand what `systemctl enable` does for files below /etc
// (G-14): links in .wants and its like, and aliases. A policy of restarting
// means "at boot", as in docker, unless [Install] says when; an empty
// assignment there says "never".
func (t *translation) install() {
	s := t.service
	wants := installWants{}
	for i := range s.System.Install {
		wants.read(t, &s.System.Install[i])
	}
	instance, ok := t.installedName(wants.instance)
	if !ok {
		return
	}
	always := s.Restart.Policy == definition.RestartAlways || s.Restart.Policy == definition.RestartUnlessStopped || isBlank(s)
	switch {
	case wants.given:
		for _, w := range wants.list {
			t.addWant(w, instance)
		}
	case always && instance != "" && s.StartsWithProject():
		t.unit.links = append(t.unit.links, bootLink(instance, t.unit.name))
	}
	for _, alias := range wants.aliases {
		t.addAlias(alias)
	}
}

// isBlank holds for a service of which nothing could be decoded. It is started
// at boot, so that it stands in `systemctl --failed`.
func isBlank(s *definition.Service) bool {
	return s.RootFS == "" && s.Image == "" && s.Bundle == "" && s.Entrypoint == nil && s.Command == nil && s.Restart.Policy == ""
}

// installWants is an [Install] section, read.
type installWants struct {
	given    bool // any of WantedBy=, RequiredBy=, UpheldBy=, even if empty
	list     []want
	aliases  []string
	instance string
}

type want struct{ directive, unit string }

func (i *installWants) read(t *translation, d *definition.Directive) {
	words := strings.Fields(d.Value)
	switch {
	case wantDir(d.Name) != "":
		i.given = true
		if len(words) == 0 {
			i.drop(d.Name)
		}
		for _, unit := range words {
			i.list = append(i.list, want{d.Name, unit})
		}
	case d.Name == "Alias":
		i.aliases = append(i.aliases, words...)
		if len(words) == 0 {
			i.aliases = nil
		}
	case d.Name == "DefaultInstance":
		i.instance = d.Value
	case !strings.HasPrefix(d.Name, "X-"):
		t.fault("systemd.install."+d.Name, d.Name+"= has no effect on a generated unit", "link the other unit by its own WantedBy=")
	}
}

// drop forgets one directive's units: an empty assignment empties its list.
func (i *installWants) drop(directive string) {
	kept := i.list[:0]
	for _, w := range i.list {
		if w.directive != directive {
			kept = append(kept, w)
		}
	}
	i.list = kept
}

// installedName is the name that links start: the unit's own or, of a template,
// its default instance's; "" if it has none. With no default instance only a
// template or instance can want a template, which takes its own instance.
func (t *translation) installedName(instance string) (string, bool) {
	if !t.isTemplate() {
		return t.unit.name, true
	}
	if instance == "" {
		return "", true
	}
	name := unitfile.Instantiate(t.unit.name, instance)
	if unitfile.NameKind(name) != unitfile.Instance {
		t.fault("systemd.install.DefaultInstance", fmt.Sprintf("%q is no instance of a unit", instance), "escape it with systemd-escape(1)")
		return "", false
	}
	return name, true
}

func (t *translation) addWant(w want, name string) {
	path := "systemd.install." + w.directive
	unit, ok := t.expand(path, w.unit)
	switch {
	case !ok:
	case unitfile.NameKind(unit) == unitfile.Invalid:
		// Also what keeps every link inside the output directory.
		t.fault(path, fmt.Sprintf("%q is no unit's name", w.unit), "write for example "+bootTarget())
	case name == "":
		t.fault(path, "a template without an instance cannot be wanted", "set DefaultInstance=, or name the instance in the unit that wants it")
	default:
		t.addLink(path, link{dir: unit + wantDir(w.directive), name: name, unit: t.unit.name})
	}
}

func (t *translation) addAlias(alias string) {
	const path = "systemd.install.Alias"
	name, ok := t.expand(path, alias)
	switch {
	case !ok || name == t.unit.name:
	case unitfile.NameKind(name) == unitfile.Invalid || unitfile.Type(name) != "service" ||
		(unitfile.NameKind(name) == unitfile.Template) != t.isTemplate():
		// systemd.unit(5): an alias has the type and the form of what it names.
		t.fault(path, fmt.Sprintf("%q is no alias for %s", alias, t.unit.name), "write a name of the form www"+serviceSuffix)
	default:
		t.addLink(path, link{name: name, unit: t.unit.name})
	}
}

func (t *translation) addLink(path string, l link) {
	for _, have := range t.unit.links {
		if have.dir == l.dir && have.name == l.name {
			return
		}
	}
	if len(t.unit.links) < maxLinks {
		t.unit.links = append(t.unit.links, l)
		return
	}
	if !t.tooManyLinks {
		t.tooManyLinks = true
		t.fault(path, fmt.Sprintf("more than %d links", maxLinks), "let one target want the unit and others that target")
	}
}

// expand does the specifiers of [Install] that are known without a host.
func (t *translation) expand(path, s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	stem := t.unit.stem()
	prefix, _, _ := strings.Cut(stem, "@")
	out := strings.NewReplacer("%%", "%", "%n", t.unit.name, "%N", stem, "%p", prefix).Replace(s)
	if strings.Contains(out, "%") {
		t.fault(path, fmt.Sprintf("%q has a specifier that is not known here", s), "write %n, %N or %p, or the name itself")
		return "", false
	}
	return out, true
}
