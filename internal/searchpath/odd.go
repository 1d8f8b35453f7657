// SPDX-License-Identifier: Apache-2.0

package searchpath

import (
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// Almost the names of files that are read. Other names in a search directory are what
// definitions mount or name, and copies that editors and package managers leave, and
// nothing is said of these.
var (
	// oddEndings are taken for endDefinition: who wrote one wants a unit of it.
	oddEndings = []string{".yml", ".yaml"} // in capitals, too
	// slips are told; the file may be anything.
	slips = []string{".yaml.txt", ".yml.txt", ".yam", ".yal", ".ymal", ".yalm", ".yamll", ".yaaml"}
	// oddDirs are taken for endDropInDir.
	oddDirs = []string{".yaml.d", ".yml.d", ".service.d"}
)

// cutAny takes one of the endings off a name, in small letters or capitals.
func cutAny(name string, endings []string) (stem string, found bool) {
	for _, ending := range endings {
		if at := len(name) - len(ending); at > 0 && strings.EqualFold(name[at:], ending) {
			return name[:at], true
		}
	}
	return name, false
}

// isOdd tells of a name that no definition takes, whether it is almost one that is.
func isOdd(name string) bool {
	if name[0] == '.' {
		return false
	}
	for _, endings := range [][]string{oddEndings, slips, oddDirs} {
		if _, found := cutAny(name, endings); found {
			return true
		}
	}
	return false
}

// addOdd tells of such a name when all others are known.
func (t *Tree) addOdd(f file) {
	if stem, found := cutAny(f.name, oddEndings); found {
		t.addWrongEnding(f, stem)
		return
	}
	warn := func(what, cure string) {
		t.Problems = append(t.Problems, diag.Problem{File: f.path(), Severity: diag.Warning, What: "not read: " + what, Cure: cure})
	}
	if stem, found := cutAny(f.name, slips); found {
		if !f.mode.IsDir() {
			warn(wrongEnding, "rename it to "+stem+endDefinition)
		}
		return
	}
	stem, _ := cutAny(f.name, oddDirs)
	cure := "rename it to " + stem + endDropInDir
	if strings.EqualFold(f.name[len(stem):], ".service.d") {
		cure += "; `systemctl edit` makes those of the unit"
	}
	warn(`the name of a directory of drop-ins ends in "`+endDropInDir+`"`, cure)
}

// addWrongEnding makes web.yml the entry "web", whose unit says how to name it,
// unless there is a web.yaml.
func (t *Tree) addWrongEnding(f file, stem string) {
	e := t.entry(stem)
	if e.base.dir != nil {
		t.Problems = append(t.Problems, diag.Problem{File: f.path(), Severity: diag.Warning,
			What: "not read, " + e.Path + " has this name", Cure: "remove one of the two"})
		return
	}
	e.base, e.Path = f, f.path()
}

// oddDropIn gives the right name of what is in a directory of drop-ins and almost one.
func oddDropIn(name string) (right string, odd bool) {
	if name[0] == '.' || strings.HasSuffix(name, endDefinition) {
		return "", false
	}
	for _, endings := range [][]string{oddEndings, slips, {".conf"}} { // what systemd's drop-ins end in
		if stem, found := cutAny(name, endings); found {
			return stem + endDefinition, true
		}
	}
	return "", false
}
