// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/diagram"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/resolved"
)

// graphFormats are what unitc graph can write.
var graphFormats = []string{"svg", "dot", "json"}

func (a *app) graph() *cobra.Command {
	format := "svg"
	cmd := &cobra.Command{
		Use:   "graph [--format FORMAT] [NAME…]",
		Short: "draw which units need which others",
		Long: `Draw the units that definitions become and what holds between them: who requires,
wants or only follows whom; the units that fetch images and make networks or volumes
too. With names, draw these and what they need. Where systemd runs, colours are
states. An SVG on standard output is for a file or a browser.`,
		Example:           "  unitc graph > units.svg\n  unitc graph --format dot blog | dot -Tpng > blog.png",
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(graphFormats, format) {
				return usagef("graph: --format %s: want one of %s", format, strings.Join(graphFormats, ", "))
			}
			g, err := a.buildGraph(cmd, args)
			if err != nil {
				return err
			}
			switch format {
			case "json":
				return a.printJSON(g)
			case "dot":
				_, err = fmt.Fprint(a.stdout, g.Dot())
			default:
				if err := a.refuseTerminal("graph"); err != nil {
					return err
				}
				_, err = fmt.Fprint(a.stdout, g.SVG())
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "write `FORMAT`: "+strings.Join(graphFormats, ", "))
	return cmd
}

// refuseTerminal keeps a picture from where nobody can see it.
func (a *app) refuseTerminal(verb string) error {
	if terminal.Of(a.stdout).Width > 0 {
		return usagef("%s: an SVG is nothing for a terminal; unitc %s > %s.svg, or another format", verb, verb, verb)
	}
	return nil
}

func (a *app) buildGraph(cmd *cobra.Command, words []string) (*diagram.Graph, error) {
	out, err := catalog.DryRun{Root: a.root}.Run()
	if err != nil {
		return nil, err
	}
	edges := unitEdges(out)
	wanted, err := a.graphNames(words, edges)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	if a.root == "" && a.booted() == nil {
		if list, err := a.listUnits(cmd, units.Question{}); err == nil {
			for _, u := range list {
				states[u.Unit] = u.State
			}
		}
	}
	g := &diagram.Graph{Nodes: []diagram.Node{}, Edges: []diagram.Edge{}}
	for _, f := range out.Files {
		if isUnit(f) && (wanted == nil || wanted[f.Path]) {
			g.Nodes = append(g.Nodes, diagram.Node{Name: short(f.Path), State: states[f.Path]})
		}
	}
	for pair, kind := range edges {
		if wanted == nil || wanted[pair.from] && wanted[pair.to] {
			g.Edges = append(g.Edges, diagram.Edge{From: short(pair.from), To: short(pair.to), Kind: kind})
		}
	}
	g.Sort()
	return g, nil
}

func short(unit string) string { return strings.TrimSuffix(unit, ".service") }

// isUnit tells units from drop-ins, links and resolved definitions.
func isUnit(f catalog.File) bool {
	return f.Target == "" && f.Path != resolved.FileName && !strings.Contains(f.Path, "/")
}

type unitPair struct{ from, to string }

// relations are directives that name other units, the weakest first.
var relations = []struct {
	directive, kind string
	reversed        bool
}{
	{"After", "after", false}, {"Before", "after", true}, {"Wants", "wants", false}, {"Upholds", "wants", false},
	{"Requires", "requires", false}, {"BindsTo", "requires", false}, {"Requisite", "requires", false},
}

// unitEdges are the relations among the units that are generated.
func unitEdges(out *catalog.Output) map[unitPair]string {
	known := map[string]bool{}
	for _, f := range out.Files {
		if isUnit(f) {
			known[f.Path] = true
		}
	}
	edges := map[unitPair]string{}
	add := func(from, to, kind string) {
		if from != to && known[from] && known[to] {
			edges[unitPair{from, to}] = kind
		}
	}
	// A link in web.target.wants is the directive of another file.
	for _, f := range out.Files {
		if dir, name, ok := strings.Cut(f.Path, "/"); ok && f.Target != "" {
			if unit, ok := strings.CutSuffix(dir, ".wants"); ok {
				add(unit, name, "wants")
			} else if unit, ok := strings.CutSuffix(dir, ".requires"); ok {
				add(unit, name, "requires")
			}
		}
	}
	for _, r := range relations {
		for _, f := range out.Files {
			if !isUnit(f) {
				continue
			}
			for _, name := range directive(f.Data, r.directive) {
				if r.reversed {
					add(name, f.Path, stronger(edges[unitPair{name, f.Path}], r.kind))
				} else {
					add(f.Path, name, stronger(edges[unitPair{f.Path, name}], r.kind))
				}
			}
		}
	}
	return edges
}

var strength = []string{"", "after", "wants", "requires"}

func stronger(a, b string) string {
	return strength[max(slices.Index(strength, a), slices.Index(strength, b))]
}

// directive gives the words of all assignments; our own units have no lines
// that go on.
func directive(unit []byte, name string) []string {
	var words []string
	for line := range strings.Lines(string(unit)) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			words = append(words, strings.Fields(value)...)
		}
	}
	return words
}

// graphNames are the units of the words and all that they need; nil = all.
func (a *app) graphNames(words []string, edges map[unitPair]string) (map[string]bool, error) {
	if len(words) == 0 {
		return nil, nil
	}
	wanted := map[string]bool{}
	var add func(unit string)
	add = func(unit string) {
		if wanted[unit] {
			return
		}
		wanted[unit] = true
		for pair := range edges {
			if pair.from == unit {
				add(pair.to)
			}
		}
	}
	for _, word := range words {
		found, err := catalog.Find(a.root, word)
		if err != nil {
			return nil, err
		}
		if found.Project {
			add(found.File.Name + ".target")
		}
		for _, s := range found.Services {
			add(s.Name + ".service")
		}
	}
	return wanted, nil
}
