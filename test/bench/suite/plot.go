// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// Sizes of the plot, in pixels.
const (
	plotWidth  = 760
	labelWidth = 150
	barHeight  = 18
	barGap     = 6
	panelGap   = 46
)

// svg draws a panel for each metric that says most: bars to the median, a line
// from the least to the greatest value.
func (t *table) svg() string {
	var body strings.Builder
	y := 10
	for _, m := range []struct{ metric, title string }{
		{"start_ms", "systemctl start to the payload's first instruction, ms"},
		{"start_cpu_ms", "CPU of one start, PID 1 and journald included, ms"},
		{"stop_ms", "systemctl stop, ms"},
		{"memory_10_private_kib", "memory beside each payload, KiB"},
		{"direct_ms", "without systemd: program start to first instruction, ms"},
	} {
		if rows := t.of(m.metric); len(rows) > 0 {
			y = panel(&body, y, m.title, rows)
		}
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s</svg>\n", plotWidth, y, body.String())
}

func panel(b *strings.Builder, y int, title string, rows []row) int {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b row) int { return int(1000 * (a.median - b.median)) })
	most := 0.0
	for _, r := range rows {
		most = max(most, r.median*1.25)
	}
	if most == 0 {
		most = 1
	}
	scale := float64(plotWidth-labelWidth-70) / most
	fmt.Fprintf(b, "<text x=\"10\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y+14, title)
	y += 24
	for _, r := range rows {
		color := "#9aa5b1"
		if strings.Contains(r.peer, "unitc") {
			color = "#2f6fdf"
		}
		width := r.median * scale
		left, right := r.min*scale, min(r.max, most)*scale
		middle := y + barHeight/2
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-8, y+13, r.peer)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", labelWidth, y, width, barHeight, color)
		fmt.Fprintf(b, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"black\"/>\n", labelWidth+left, middle, labelWidth+right, middle)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%.1f</text>\n", labelWidth+max(width, right)+6, y+13, r.median)
		y += barHeight + barGap
	}
	return y + panelGap - barGap
}
