// SPDX-License-Identifier: Apache-2.0

// Package diagram draws units: who needs whom, and when each started. It makes
// text of values (dot, SVG) and asks nobody. The same values give the same
// bytes.
package diagram

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf8"
)

// Node is one unit.
type Node struct {
	Name  string `json:"name"`
	State string `json:"state,omitempty"`
}

// Edge says that From orders itself after, or needs, To.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Kind is requires, wants or after, the strongest of them.
	Kind string `json:"kind"`
}

// Graph is units and what holds between them.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Sort makes the order that all output has.
func (g *Graph) Sort() {
	slices.SortFunc(g.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return strings.Compare(a.From+"\x00"+a.To+"\x00"+a.Kind, b.From+"\x00"+b.To+"\x00"+b.Kind)
	})
}

// styles of edges, in dot's words and in SVG's.
var styles = map[string]struct{ dot, svg string }{
	"requires": {"solid", ""},
	"wants":    {"dashed", "6,4"},
	"after":    {"dotted", "2,4"},
}

// fills of boxes by state.
var fills = map[string]string{
	"running": "#d8f0d8", "exited": "#e0ecf8", "failed": "#f8d0d0", "starting": "#f8f0c8", "restarting": "#f8f0c8", "stopping": "#f8f0c8", "paused": "#f8f0c8",
}

func fill(state string) string {
	if f, ok := fills[state]; ok {
		return f
	}
	return "#eeeeee"
}

// Dot is the graph for Graphviz.
func (g *Graph) Dot() string {
	var b strings.Builder
	b.WriteString("digraph unitc {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=sans];\n")
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %q [fillcolor=%q];\n", n.Name, fill(n.State))
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  %q -> %q [style=%s];\n", e.From, e.To, styles[e.Kind].dot)
	}
	b.WriteString("}\n")
	return b.String()
}

// Sizes of the drawing, in pixels; letters are as wide as they can be.
const (
	letter    = 8
	boxHeight = 30
	rowGap    = 16
	columnGap = 90
	margin    = 20
)

type box struct{ x, y, width int }

// SVG is the graph drawn: what others need stands to the left of them.
func (g *Graph) SVG() string {
	boxes, width, height := g.layout()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	b.WriteString(`<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for _, e := range g.Edges {
		from, to := boxes[e.From], boxes[e.To]
		x1, y1, x2, y2 := from.x, from.y+boxHeight/2, to.x+to.width, to.y+boxHeight/2
		bend := max((x1-x2)/2, columnGap/2)
		fmt.Fprintf(&b, `<path d="M%d,%d C%d,%d %d,%d %d,%d" fill="none" stroke="#555" stroke-dasharray="%s" marker-end="url(#to)"><title>%s %s %s</title></path>`+"\n",
			x1, y1, x1-bend, y1, x2+bend, y2, x2, y2, styles[e.Kind].svg, html.EscapeString(e.From), e.Kind, html.EscapeString(e.To))
	}
	for _, n := range g.Nodes {
		at := boxes[n.Name]
		title := n.Name
		if n.State != "" {
			title += ": " + n.State
		}
		fmt.Fprintf(&b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="#555"/><text x="%d" y="%d">%s</text></g>`+"\n",
			html.EscapeString(title), at.x, at.y, at.width, boxHeight, fill(n.State), at.x+letter, at.y+20, html.EscapeString(n.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// layout puts each unit one column to the right of all that it needs.
func (g *Graph) layout() (boxes map[string]box, width, height int) {
	depth := g.depths()
	var columns [][]Node
	for _, n := range g.Nodes {
		d := depth[n.Name]
		for len(columns) <= d {
			columns = append(columns, nil)
		}
		columns[d] = append(columns[d], n)
	}
	boxes = map[string]box{}
	x := margin
	height = 2*margin + boxHeight
	for _, column := range columns {
		widest := 0
		for i, n := range column {
			w := letter * (utf8.RuneCountInString(n.Name) + 2)
			boxes[n.Name] = box{x, margin + i*(boxHeight+rowGap), w}
			widest = max(widest, w)
		}
		height = max(height, 2*margin+len(column)*(boxHeight+rowGap)-rowGap)
		x += widest + columnGap
	}
	return boxes, max(x-columnGap+margin, 2*margin), height
}

// depths are the lengths of the longest ways; an edge that closes a circle
// counts for nothing.
func (g *Graph) depths() map[string]int {
	needs := map[string][]string{}
	for _, e := range g.Edges {
		needs[e.From] = append(needs[e.From], e.To)
	}
	depth := map[string]int{}
	open := map[string]bool{}
	var visit func(name string) int
	visit = func(name string) int {
		if d, ok := depth[name]; ok {
			return d
		}
		if open[name] {
			return -1
		}
		open[name] = true
		d := 0
		for _, other := range needs[name] {
			d = max(d, visit(other)+1)
		}
		open[name] = false
		depth[name] = d
		return d
	}
	for _, n := range g.Nodes {
		visit(n.Name)
	}
	return depth
}
