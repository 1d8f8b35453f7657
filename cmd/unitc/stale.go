// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cli/autostart"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/doctor"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// linkProblems are links that outlive the definition that they were made for, and
// as notes those that keep a definition from starting: whoever writes one by the
// name of an earlier one may not know of them.
func linkProblems(root string, out *catalog.Output) (problems diag.List) {
	links := autostart.Links(root, catalog.OutDir())
	for _, l := range links {
		if l.IsStale(root, func(unit string) bool { return out.Unit(unit) != nil }) {
			problems = append(problems, diag.Problem{File: l.Path, Severity: diag.Warning, Rule: diag.RuleReference,
				What: "there is no unit " + l.Unit + "; the link holds for the next definition that makes one", Cure: "rm " + l.Path})
		}
	}
	for i := range out.Definitions {
		for j := range out.Definitions[i].Services {
			s := &out.Definitions[i].Services[j]
			if out.Unit(s.Name+".service") != nil {
				problems = append(problems, forbidden(root, s, links)...)
			}
		}
	}
	return problems
}

func forbidden(root string, s *definition.Service, links []autostart.Link) (notes diag.List) {
	note := func(what, cure string) {
		p := s.Problem("", what, cure)
		p.Severity, p.Rule = diag.Note, diag.RuleHost
		notes = append(notes, p)
	}
	unit := s.Name + ".service"
	if path := autostart.Masked(root, unit); path != "" {
		note("it is masked and cannot be started: "+path, "systemctl unmask "+unit)
	}
	for _, l := range links {
		if l.Masks && (l.Unit == unit || slices.Contains(s.Triggers(), l.Unit)) {
			note("it does not start with the system: "+l.Path+" is a link to /dev/null", "unitc enable "+s.Name)
		}
	}
	return notes
}

// examineLinks sums up what unitc check says of them.
func (a *app) examineLinks() doctor.Finding {
	f := doctor.Finding{Area: "definitions", Check: "links", State: doctor.OK, What: "each is of a unit that is there"}
	out, err := catalog.DryRun{Root: a.root}.Run()
	if err != nil {
		f.State, f.What = doctor.Warning, err.Error()
		return f
	}
	var stale []string
	for _, p := range linkProblems(a.root, out) {
		if p.Severity == diag.Warning {
			stale = append(stale, p.File)
		}
	}
	if len(stale) > 0 {
		f.State, f.Cure = doctor.Warning, "rm "+strings.Join(stale, " ")
		f.What = fmt.Sprintf("%s of units that are not there hold for the next definition of that name", plural(len(stale), "link"))
	}
	return f
}
