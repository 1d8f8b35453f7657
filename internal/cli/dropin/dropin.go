// SPDX-License-Identifier: Apache-2.0

// Package dropin reads the drop-ins that an administrator has put beside the
// units of containers (systemd.unit(5)), for what confines unitc's helper there
// and does not reach the container. A definition that said so would be refused;
// of a drop-in systemd asks nobody.
package dropin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/unitfile"
)

// dirs are where systemd looks, the first first (systemd.unit(5), Table 1). Those
// of generators and of unitc itself hold no word of the administrator's.
var dirs = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control",
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
}

// Problems are what the drop-ins of a service set that its definition may not, as
// warnings, below root ("" is the host).
func Problems(root, unit string, s *definition.Service) diag.List {
	var found diag.List
	for _, path := range files(root, unit) {
		data, err := os.ReadFile(root + path)
		if err != nil {
			continue // systemd cannot read it either, and says so
		}
		found = apply(found, path, string(data), s != nil && s.System.Cgroup == definition.CgroupService)
	}
	return found
}

// files are in the order in which systemd reads them: by name, whatever directory
// they are in; of those of one name the first directory's counts.
func files(root, unit string) []string {
	chosen := map[string]string{}
	for _, dir := range dirs {
		for _, of := range namesFor(unit) {
			items, _ := os.ReadDir(root + dir + "/" + of + ".d")
			for _, item := range items {
				name := item.Name()
				if _, taken := chosen[name]; !taken && strings.HasSuffix(name, ".conf") {
					chosen[name] = dir + "/" + of + ".d/" + name
				}
			}
		}
	}
	paths := make([]string, 0, len(chosen))
	for _, path := range chosen {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return paths
}

// namesFor are the units whose drop-ins are a unit's too: itself, its template,
// what its name begins with up to each dash, and all services.
func namesFor(unit string) []string {
	names := []string{unit}
	stem := strings.TrimSuffix(unit, ".service")
	if at := strings.IndexByte(stem, '@'); at >= 0 {
		if template := stem[:at+1] + ".service"; template != unit {
			names = append(names, template)
		}
		stem = stem[:at]
	}
	for i := len(stem) - 1; i > 0; i-- {
		if stem[i] == '-' && i < len(stem)-1 {
			names = append(names, stem[:i+1]+".service")
		}
	}
	return append(names, "service")
}

// passed begin the names of directives that do their job in a drop-in too: of the
// stop, which systemd does itself, and what the helper needs for many volumes.
var passed = []string{"FinalKillSignal", "KillSignal", "Limit", "RestartKillSignal", "Send", "TimeoutSec", "TimeoutStop"}

// starving are limits that the helper may not live with, and cannot tell of: a program
// of Go's ends when it gets no memory, and one that is killed says nothing.
var starving = []string{"LimitAS", "LimitCPU", "LimitDATA", "LimitFSIZE", "LimitSTACK"}

// tracing begins the values of Environment= that are meant for the helper.
const tracing = "UNITC_"

// apply adds what a file sets, and takes back what it clears. Limits are those of
// the payload where the service itself is its cgroup.
func apply(found diag.List, path, text string, limits bool) diag.List {
	section := ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, isAssignment := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if section != "[Service]" || !isAssignment || line[0] == '#' || line[0] == ';' {
			continue
		}
		if clears(name, value) {
			found = slices.DeleteFunc(found, func(p diag.Problem) bool { return p.Path == name })
			continue
		}
		cure, isLimit := compose.RefusedInService(name)
		if cure != "" && !(limits && isLimit) && !strings.HasPrefix(value, tracing) &&
			(slices.Contains(starving, name) || !slices.ContainsFunc(passed, func(p string) bool { return strings.HasPrefix(name, p) })) {
			what := "it acts on unitc's helper and not on the container"
			if slices.Contains(starving, name) {
				what = "it acts on unitc's helper too, which it may keep from starting the container"
			}
			found = append(found, diag.Problem{File: path, Line: number, Col: 1, Severity: diag.Warning, Rule: diag.RuleConflict, Path: name,
				What: what, Cure: "take it out" + inDefinition(cure)})
		}
	}
	return found
}

// clears holds for what assigns nothing: the empty value, the no of a switch, and a
// limit that is none.
func clears(name, value string) bool {
	return slices.Contains([]string{"", "no", "false", "off", "n", "f", "infinity"}, strings.ToLower(value)) || value == "0" && !strings.HasPrefix(name, "Limit")
}

// inDefinition turns the cure of a definition's fault into the one of a drop-in's.
func inDefinition(cure string) string {
	if strings.HasPrefix(cure, "remove it") {
		return ""
	}
	return ", and in the definition " + cure
}

// Unit is the service of a name as operators type it.
func Unit(name string) string { return unitfile.MangleName(name) + ".service" }
