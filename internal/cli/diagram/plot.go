// SPDX-License-Identifier: Apache-2.0

package diagram

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bar is the start of one unit; times are since the boot, 0 = not reached.
type Bar struct {
	Name     string        `json:"name"`
	State    string        `json:"state"`
	Begun    time.Duration `json:"begun_ns"`              // systemd began to start it
	Launched time.Duration `json:"launched_ns,omitempty"` // the payload was put into its scope
	Ready    time.Duration `json:"ready_ns,omitempty"`    // it was ready
	Ended    time.Duration `json:"ended_ns,omitempty"`
}

// Plot is a start-up of many units.
type Plot struct {
	Title string `json:"title"`
	// Userspace is when PID 1 began, Finished when the boot was over.
	Userspace time.Duration `json:"userspace_ns"`
	Finished  time.Duration `json:"finished_ns,omitempty"`
	Bars      []Bar         `json:"units"`
}

const (
	rowHeight  = 22
	plotWidth  = 1000
	headHeight = 70
)

// phases, their colours and their names.
var phases = []struct{ colour, name string }{
	{"#e8a050", "setting up"}, {"#e8d060", "waiting until ready"}, {"#70b070", "running"},
}

// mostTicks of an axis: more would cover each other.
const mostTicks = 12

// ticks a reader can count in; where these are too short, days.
var ticks = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, time.Hour, 6 * time.Hour,
}

// SVG draws a bar for each unit, by the time it began.
func (p *Plot) SVG() string {
	slices.SortStableFunc(p.Bars, func(a, b Bar) int {
		if a.Begun != b.Begun {
			return int(min(max(a.Begun-b.Begun, -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	first, last := p.span()
	label := 0
	for _, bar := range p.Bars {
		label = max(label, letter*(utf8.RuneCountInString(bar.Name)+2))
	}
	at := func(t time.Duration) float64 {
		return float64(label+margin) + float64(t-first)/float64(last-first)*plotWidth
	}
	var b strings.Builder
	width, height := label+2*margin+plotWidth+100, headHeight+len(p.Bars)*rowHeight+margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/><text x="%d" y="20" font-size="15">%s</text>`+"\n", width, height, margin, html.EscapeString(p.Title))
	for i, phase := range phases {
		x := margin + i*180
		fmt.Fprintf(&b, `<rect x="%d" y="30" width="14" height="12" fill="%s"/><text x="%d" y="41">%s</text>`+"\n", x, phase.colour, x+20, phase.name)
	}
	p.axis(&b, first, last, at, height)
	for i, bar := range p.Bars {
		p.bar(&b, bar, headHeight+i*rowHeight, last, at)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// span is what the plot shows: from a little before the first start to a little
// after the last unit was ready.
func (p *Plot) span() (first, last time.Duration) {
	for i, bar := range p.Bars {
		if i == 0 || bar.Begun < first {
			first = bar.Begun
		}
		last = max(last, bar.Begun, bar.Launched, bar.Ready)
	}
	if p.Finished > first {
		last = max(last, p.Finished)
	}
	room := max((last-first)/20, 5*time.Millisecond)
	return max(first-room, 0), last + room
}

func (p *Plot) axis(b *strings.Builder, first, last time.Duration, at func(time.Duration) float64, height int) {
	const day = 24 * time.Hour
	step := (last-first)/mostTicks/day*day + day
	for _, t := range ticks {
		if (last-first)/t <= mostTicks {
			step = t
			break
		}
	}
	for t := (first + step - 1) / step * step; t <= last; t += step {
		fmt.Fprintf(b, `<path d="M%.1f,%d V%d" stroke="#ddd"/><text x="%.1f" y="%d" fill="#777">%s</text>`+"\n", at(t), headHeight-8, height-margin, at(t)+2, headHeight-10, t)
	}
	if p.Finished > first && p.Finished < last {
		fmt.Fprintf(b, `<path d="M%.1f,%d V%d" stroke="#c04040"><title>the boot was over after %s</title></path>`+"\n", at(p.Finished), headHeight-8, height-margin, p.Finished.Round(time.Millisecond))
	}
}

func (p *Plot) bar(b *strings.Builder, bar Bar, y int, last time.Duration, at func(time.Duration) float64) {
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", margin/2, y+15, html.EscapeString(bar.Name))
	end := last
	if bar.Ended > 0 {
		end = min(max(bar.Ended, bar.Begun), last)
	}
	ready, launched := bar.Ready, bar.Launched
	if ready < bar.Begun {
		ready = end
	}
	if launched < bar.Begun || launched > ready {
		launched = ready
	}
	for i, edges := range [][2]time.Duration{{bar.Begun, launched}, {launched, ready}, {ready, max(end, ready)}} {
		if w := at(edges[1]) - at(edges[0]); w > 0 {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", at(edges[0]), y+3, w, rowHeight-6, phases[i].colour)
		}
	}
	text := bar.State
	if bar.Ready >= bar.Begun {
		text = (bar.Ready - bar.Begun).Round(100 * time.Microsecond).String()
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#333">%s</text>`+"\n", at(max(ready, bar.Begun))+4, y+15, html.EscapeString(text))
}
