// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/image"
)

// screen keeps one line for each layer and draws them over and over.
type screen struct {
	terminal.Screen
	sum   sum
	now   func() time.Time
	last  time.Time
	lines int // drawn below the place where the next drawing begins
}

func newScreen(s terminal.Screen, now func() time.Time) *screen {
	return &screen{Screen: s, sum: sum{layers: map[int]*layer{}}, now: now}
}

// redraw is as often as the eye follows.
const redraw = 100 * time.Millisecond

func (s *screen) Event(e image.Event) {
	now := s.now()
	s.sum.add(e, now)
	if e.Layer == 0 || e.Kind == image.EventWarning {
		s.say(e)
	}
	if now.Sub(s.last) < redraw && e.Kind != image.EventImage && e.Kind != image.EventDone {
		return
	}
	s.last = now
	s.draw(now)
}

// say prints a lasting line above the drawing.
func (s *screen) say(e image.Event) {
	if line := sentence(e); line != "" {
		fmt.Fprintf(s, "%s%s\x1b[K\n", s.up(), s.cut(terminal.Clean(line)))
		s.lines = 0
		s.draw(s.now())
	}
}

// up goes to the first line of the drawing.
func (s *screen) up() string {
	if s.lines == 0 {
		return "\r"
	}
	return fmt.Sprintf("\x1b[%dA\r", s.lines)
}

func (s *screen) draw(now time.Time) {
	var b strings.Builder
	b.WriteString(s.up())
	var keys []int
	for k := range s.sum.layers {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b.WriteString(s.cut(line(s.sum.layers[k], now)) + "\x1b[K\n")
	}
	s.lines = len(keys)
	fmt.Fprint(s, b.String())
}

// cut keeps a line from wrapping, which would spoil the count of lines.
func (s *screen) cut(text string) string {
	if s.Width <= 1 || utf8.RuneCountInString(text) < s.Width {
		return text
	}
	return string([]rune(text)[:s.Width-1])
}

// line is one layer: digest, bytes, rate and what time is left.
func line(l *layer, now time.Time) string {
	text := fmt.Sprintf("%s  %9s of %9s", short(l.digest), image.FormatBytes(l.current), image.FormatBytes(l.total))
	if l.state != "" {
		return text + "  " + l.state
	}
	took := now.Sub(l.begun).Seconds()
	if l.current == l.total {
		return text + "  unpacking"
	}
	if took < 0.5 || l.current <= l.base {
		return text
	}
	rate := float64(l.current-l.base) / took
	left := time.Duration(float64(l.total-l.current) / rate * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%s  %s/s  %s left", text, image.FormatBytes(int64(rate)), left)
}

func (s *screen) Close() {}
