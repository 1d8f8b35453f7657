// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"regexp"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/diag"
)

// serviceVariables are those that systemd knows when it starts podman.
func (q *quadlet) serviceVariables() {
	s := q.section("Service")
	for _, a := range s.all("Environment") {
		words, _ := splitWords(a.text, true)
		for _, word := range words {
			if name, value, ok := strings.Cut(word, "="); ok {
				q.expand.environ[name] = q.expand.specifiers(a.with(value))
			}
		}
	}
	for _, a := range s.all("EnvironmentFile") {
		q.readVariables(a)
	}
}

// readVariables takes those of a file. Where it cannot be read, what uses them is
// told that nothing sets them.
func (q *quadlet) readVariables(a arg) {
	path := strings.TrimPrefix(q.expand.specifiers(a), "-")
	if q.set.host.ReadFile == nil {
		return
	}
	data, err := q.set.host.ReadFile(path)
	if err != nil {
		q.set.report(diag.Warning, diag.RuleMeaning, a.at, a.name, "cannot be read: "+err.Error(), "give its variables that the file uses a value in "+q.def.variableFile())
		return
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || line[0] == '#' || line[0] == ';' || strings.IndexByte(line, 0) >= 0 {
			continue
		}
		words, err := splitWords(value, true)
		if err != nil || len(words) > 1 {
			words = []string{value}
		}
		q.expand.files[strings.TrimSpace(name)] = strings.Join(words, "")
	}
}

// restart has systemd's policy in the words of definitions, where they have it.
func (q *quadlet) restart() {
	a, ok := q.section("Service").last("Restart")
	if !ok {
		return
	}
	switch a.text {
	case "always", "on-failure":
		q.def.setText("restart", a, a.text)
	case "no":
	default:
		q.def.directive("service", "Restart", a)
	}
	if a.text == "always" && !q.isWanted() {
		// With the policy alone it would start at boot.
		q.def.directive("install", "WantedBy", a.with(""))
		q.def.root.get("systemd").get("install").get("WantedBy").above = []string{"as before, it does not start at boot"}
	}
}

func (q *quadlet) isWanted() bool {
	s := q.section("Install")
	return len(s.all("WantedBy"))+len(s.all("RequiredBy"))+len(s.all("UpheldBy")) > 0
}

// serviceRows say what becomes of directives that a definition has another word for.
// All others are passed on, or are reported with the word that unitc has for them.
var serviceRows = []key{
	{name: "Delegate", read: once, do: sayLaunch, becomes: "nothing: unitc sets it"},
	{name: "Environment", read: once, do: sayVariables, becomes: "filled in where the file has ${NAME}"},
	{name: "EnvironmentFile", read: once, do: sayVariables, becomes: "*NAME.env*, with the variables that the file has as ${NAME}"},
	{name: "ExecStart", read: once, do: func(_ *quadlet, d *def, a arg) {
		d.lost(a, "the container is what is started", "write ExecStartPre= or ExecStartPost= under systemd: service:")
	}, becomes: "lost: the container is what is started"},
	{name: "KillMode", read: once, do: sayLaunch, becomes: "nothing: unitc sets it"},
	{name: "NotifyAccess", read: once, do: sayLaunch, becomes: "nothing: unitc sets it"},
	{name: "OOMScoreAdjust", read: lastOf, do: func(_ *quadlet, d *def, a arg) { d.setNumber("oom_score_adj", a) }, becomes: "`oom_score_adj`"},
	{name: "RemainAfterExit", read: once, do: func(_ *quadlet, d *def, a arg) {
		if isTrue(a.text) {
			d.lost(a, "a unit that stays active when its container has ended", "systemd: {notify: completed} has it active when its payload has ended, and stay so")
		}
	}, becomes: "lost: `systemd: {notify: completed}` has it active when its payload has ended, and stay so"},
	{name: "Restart", read: once, do: silent, becomes: "`restart`, others than *always* and *on-failure* `systemd: service: Restart`"},
	{name: "Slice", read: lastOf, do: func(_ *quadlet, d *def, a arg) {
		d.root.child("systemd", mapping).put("slice", scalarOf(a, a.text))
	}, becomes: "`systemd: slice`"},
	{name: "TimeoutStopSec", read: lastOf, do: (*quadlet).stopTime, becomes: "`stop_grace_period`, unless StopTimeout= is given"},
	{name: "Type", read: lastOf, do: func(_ *quadlet, d *def, a arg) {
		if a.text == "oneshot" {
			d.changed(a, "the unit is active when the payload runs, not when it has ended", "write systemd: {notify: completed}; the unit stays active then, and a timer starts it once")
		}
	}, becomes: "nothing: *notify*; with *oneshot* Podman's unit is active when the payload has ended"},
}

// lastOf takes the last value as systemd reads it.
func lastOf(q *quadlet, row *key, s *section) {
	if a, ok := s.last(row.name); ok {
		row.do(q, q.def, a)
	}
}

func sayLaunch(_ *quadlet, d *def, a arg) { d.same(a, "unitc sets it") }

func sayVariables(_ *quadlet, d *def, a arg) {
	d.same(a, "they were podman's own; where the file uses them they are filled in")
}

// stopTime: Podman kills after its own StopTimeout=, of ten seconds by default.
func (q *quadlet) stopTime(d *def, a arg) {
	if _, ok := q.own().last("StopTimeout"); ok {
		d.same(a, "the time of StopTimeout= counts")
		return
	}
	grace, ok := timeSpan(a.text)
	if !ok || grace == 0 {
		d.lost(a, "a stop without an end", "write stop_grace_period:")
		return
	}
	d.setText("stop_grace_period", a, spell(grace))
}

// serviceSection passes on what is about the unit, and reports what was about podman's
// process.
func (q *quadlet) serviceSection() {
	s := q.section("Service")
	for _, name := range s.keys() {
		if row := rowOf(serviceRows, name); row != nil {
			row.read(q, row, s)
			continue
		}
		for _, a := range s.all(name) {
			q.serviceDirective(name, a)
		}
	}
}

func (q *quadlet) serviceDirective(name string, a arg) {
	d := q.def
	cure, isLimit := compose.RefusedInService(name)
	limit, isUlimit := strings.CutPrefix(name, "Limit")
	switch {
	case isUlimit && limit != "":
		d.ulimit(a.with(strings.ToLower(limit) + "=" + a.text))
	case isLimit && name != "Delegate":
		d.directive("scope", name, a)
	case cure != "":
		d.lost(a, "it was about podman's process", cure)
	default:
		d.directive("service", name, a)
		if variable := q.usedVariable(a.text); variable != "" && strings.HasPrefix(name, "Exec") {
			d.changed(a, "the unit does not have the variable "+variable+", which was podman's", "write its value")
		}
		if strings.Contains(a.text, "podman") {
			d.changed(a, "podman does not see this container", "write unitc exec, kill or cp in its place")
		}
	}
}

// usedVariable is one of [Service]'s that a command line has, "" if it has none.
func (q *quadlet) usedVariable(text string) string {
	for _, match := range anyVariable.FindAllStringSubmatch(text, -1) {
		_, inUnit := q.expand.environ[match[1]]
		if _, inFile := q.expand.files[match[1]]; inUnit || inFile {
			return match[1]
		}
	}
	return ""
}

var anyVariable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// unitLists are directives with names of units, of which some may be Quadlet files.
var unitLists = []string{"After", "Before", "BindsTo", "Conflicts", "JoinsNamespaceOf", "OnFailure", "OnSuccess", "PartOf", "PropagatesReloadTo", "PropagatesStopTo",
	"ReloadPropagatedFrom", "Requires", "Requisite", "StopPropagatedFrom", "Upholds", "Wants"}

// systemsUnits are those that people name in users' files too, where they do nothing: a
// user's systemd has none of them (systemd.special(7)).
var systemsUnits = []string{"multi-user.target", "graphical.target", "network.target", "network-online.target", "nss-lookup.target", "local-fs.target", "remote-fs.target", "time-sync.target"}

func (q *quadlet) unitSection() {
	s := q.section("Unit")
	for _, name := range s.keys() {
		for _, a := range s.all(name) {
			if name == "SourcePath" {
				q.def.same(a, "it is the definition")
				continue
			}
			if slices.Contains(unitLists, name) {
				if a.text = q.units(a); a.text == "" {
					continue
				}
			}
			q.def.directive("unit", name, a)
		}
	}
}

// units has the names of units in the place of those of files, without those that are
// no units here.
func (q *quadlet) units(a arg) string {
	var kept []string
	for word := range strings.FieldsSeq(a.text) {
		other := q.set.find(word)
		if other == nil {
			other = q.set.findUnit(word)
		}
		switch {
		case q.set.host.User && slices.Contains(systemsUnits, word):
			q.def.same(a, "a user's systemd has no "+word)
		case other == nil && IsQuadlet(word):
			kept = append(kept, q.file(q.def, a, word).unit()+".service")
		case other == nil:
			kept = append(kept, word)
		case other.kind == "container" || other.kind == "pod":
			kept = append(kept, other.unit()+".service")
		case other.kind == "kube":
			kept = append(kept, other.unit()+".target")
		default:
			q.def.same(a, "a start makes what "+other.base+" says, if it is missing")
		}
	}
	return strings.Join(kept, " ")
}

func (q *quadlet) installSection() {
	s := q.section("Install")
	for _, e := range s.entries {
		switch {
		case e.key == "Also":
			q.def.lost(e.arg(), "a generator's units are not enabled by systemctl", "write WantedBy= in the other unit")
		case e.key == "DefaultInstance" && !q.def.isTemplate():
			q.def.lost(e.arg(), "it is no template", "")
		default:
			a := e.arg()
			if words, err := splitWords(a.text, true); err == nil {
				a.text = strings.Join(words, " ")
			}
			if q.set.host.User && e.value != "" && strings.HasSuffix(e.key, "By") {
				if a.text = q.units(a); a.text == "" {
					q.def.lost(a, "no unit of the user's systemd wants it", "write WantedBy: default.target")
					continue
				}
			}
			q.def.directive("install", e.key, a)
		}
	}
}

// otherSections tells of those that are neither systemd's nor of this kind.
func (q *quadlet) otherSections() {
	for _, s := range q.sections {
		switch {
		case slices.Contains([]string{"Unit", "Service", "Install", q.title()}, s.name):
		case strings.HasPrefix(s.name, "X-"):
		case s.name == "Quadlet":
			for _, e := range s.entries {
				q.def.same(e.arg(), "no unit waits for the network unless it says so")
			}
		default:
			q.def.lost(arg{name: "[" + s.name + "]", at: s.at}, "a section that is of no meaning in a ."+q.kind, "")
		}
	}
}

// leftUnit tells of what a file says of a unit that there is not here.
func (q *quadlet) leftUnit(why string) {
	for _, name := range []string{"Unit", "Service", "Install"} {
		for _, e := range q.section(name).entries {
			severity, rule := diag.Note, diag.RuleDefault
			if strings.HasPrefix(e.key, "Condition") || strings.HasPrefix(e.key, "Assert") || strings.HasPrefix(e.key, "Exec") {
				severity, rule = diag.Warning, diag.RuleLoss
			}
			q.set.report(severity, rule, e.at, e.key+"=", why, "")
		}
	}
}
