// SPDX-License-Identifier: Apache-2.0

package diagram

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// wellFormed counts the elements of an SVG.
func wellFormed(t *testing.T, text string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok {
			count[start.Name.Local]++
		}
	}
}

func sample() *Graph {
	g := &Graph{
		Nodes: []Node{{"web", "running"}, {"db", "failed"}, {"a<b>&\"c", ""}, {"lone", "stopped"}},
		Edges: []Edge{{"web", "db", "requires"}, {"a<b>&\"c", "web", "after"}},
	}
	g.Sort()
	return g
}

func TestGraph(t *testing.T) {
	g := sample()
	count := wellFormed(t, g.SVG())
	if count["text"] != 4 || count["path"] != 2+1 { // one is the arrow head
		t.Errorf("%v", count)
	}
	want := "digraph unitc {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=sans];\n" +
		"  \"a<b>&\\\"c\" [fillcolor=\"#eeeeee\"];\n  \"db\" [fillcolor=\"#f8d0d0\"];\n  \"lone\" [fillcolor=\"#eeeeee\"];\n  \"web\" [fillcolor=\"#d8f0d8\"];\n" +
		"  \"a<b>&\\\"c\" -> \"web\" [style=dotted];\n  \"web\" -> \"db\" [style=solid];\n}\n"
	if got := g.Dot(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	boxes, _, _ := g.layout()
	if !(boxes["db"].x < boxes["web"].x && boxes["web"].x < boxes["a<b>&\"c"].x) {
		t.Errorf("what is needed does not stand on the left: %v", boxes)
	}
	if g.SVG() != sample().SVG() {
		t.Error("the same graph gives other bytes")
	}
}

// Boxes do not overlap, a circle ends, and no unit is lost.
func TestLayoutOfMany(t *testing.T) {
	g := &Graph{}
	for i := range 100 {
		g.Nodes = append(g.Nodes, Node{Name: fmt.Sprint("unit-", i)})
		g.Edges = append(g.Edges, Edge{fmt.Sprint("unit-", i), fmt.Sprint("unit-", (i*7+1)%100), "after"})
	}
	g.Sort()
	boxes, width, height := g.layout()
	seen := map[[2]int]bool{}
	for name, b := range boxes {
		if seen[[2]int{b.x, b.y}] {
			t.Errorf("%s stands on another", name)
		}
		seen[[2]int{b.x, b.y}] = true
		if b.x+b.width > width || b.y+boxHeight > height {
			t.Errorf("%s at %+v is outside of %dx%d", name, b, width, height)
		}
	}
	if len(boxes) != 100 {
		t.Errorf("%d boxes", len(boxes))
	}
}

func TestPlot(t *testing.T) {
	ms := time.Millisecond
	p := &Plot{Title: "<start>", Finished: 900 * ms, Bars: []Bar{
		{Name: "web", State: "running", Begun: 500 * ms, Launched: 520 * ms, Ready: 700 * ms},
		{Name: "fails", State: "failed", Begun: 510 * ms, Ended: 530 * ms},
		{Name: "direct", State: "running", Begun: 400 * ms, Ready: 430 * ms},
	}}
	text := p.SVG()
	if count := wellFormed(t, text); count["svg"] != 1 || count["rect"] < 1+3+6 {
		t.Errorf("%v in\n%s", count, text)
	}
	for _, want := range []string{"&lt;start&gt;", ">200ms</text>", ">failed</text>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, ">direct<") > strings.Index(text, ">web<") {
		t.Error("bars are not in the order of time")
	}
	for _, bad := range []string{"NaN", "Inf", `width="-`} {
		if strings.Contains(text, bad) || strings.Contains((&Plot{}).SVG(), bad) {
			t.Errorf("%s in the plot", bad)
		}
	}
	wellFormed(t, (&Plot{}).SVG())
}

// However long ago the first start was, the axis can be read.
func TestAxisOfAnyLength(t *testing.T) {
	for length := time.Millisecond; length < 20*365*24*time.Hour; length *= 3 {
		p := &Plot{Bars: []Bar{{Name: "a", Begun: time.Second}, {Name: "b", Begun: time.Second + length}}}
		if n := strings.Count(p.SVG(), `stroke="#ddd"`); n < 1 || n > mostTicks+1 {
			t.Errorf("%d ticks for %v", n, length)
		}
	}
}
