// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// row is one line of the TSV file.
type row struct {
	metric, peer     string
	median, min, max float64
	n                int
}

type table struct {
	rows    []row
	metrics []string // in order of appearance
}

func readTable(path string) (*table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &table{}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 6 {
			return nil, fmt.Errorf("%s:%d: want metric, peer, median, min, max, n", path, i+1)
		}
		r := row{metric: f[0], peer: f[1]}
		for j, to := range []*float64{&r.median, &r.min, &r.max} {
			if *to, err = strconv.ParseFloat(f[2+j], 64); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
			}
		}
		if r.n, err = strconv.Atoi(f[5]); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		t.rows = append(t.rows, r)
		if !slices.Contains(t.metrics, r.metric) {
			t.metrics = append(t.metrics, r.metric)
		}
	}
	return t, nil
}

func (t *table) of(metric string) (rows []row) {
	for _, r := range t.rows {
		if r.metric == metric {
			rows = append(rows, r)
		}
	}
	return rows
}

func (t *table) median(metric, peer string) (float64, bool) {
	for _, r := range t.of(metric) {
		if r.peer == peer {
			return r.median, true
		}
	}
	return 0, false
}

// own is the peer that others are measured by: unitc where it is one of them.
func (t *table) own(metric string) float64 {
	for _, name := range []string{"unitc", "direct-unitc"} {
		if v, ok := t.median(metric, name); ok {
			return v
		}
	}
	return 0
}

// report prints the rows with their ratio to unitc and writes bench.md,
// trace.md and bench.svg.
func report(from, out string) error {
	t, err := readTable(from)
	if err != nil {
		return err
	}
	fmt.Printf("%-24s %-18s %10s %10s %10s %4s  %s\n", "metric", "peer", "median", "min", "max", "n", "÷ unitc")
	for _, m := range t.metrics {
		if strings.HasPrefix(m, "trace_") {
			continue // trace.md has them
		}
		own := t.own(m)
		for _, r := range t.of(m) {
			ratio := "-"
			if own > 0 {
				ratio = fmt.Sprintf("%.2f", r.median/own)
			}
			fmt.Printf("%-24s %-18s %10.2f %10.2f %10.2f %4d  %s\n", m, r.peer, r.median, r.min, r.max, r.n, ratio)
		}
		fmt.Println()
	}
	for _, g := range goals {
		g.print(t)
	}
	t.printBridge()
	if err := os.WriteFile(filepath.Join(out, "trace.md"), []byte(t.traceTable()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "bench.md"), []byte(t.markdown()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "bench.svg"), []byte(t.svg()), 0o644)
}

// A goal is a bound on a ratio of two peers in one metric.
type goal struct {
	metric, ours, theirs string
	most                 float64
}

var goals = []goal{
	{"start_ms", "unitc", "plain", 1.25},
	{"start_ms", "unitc-service", "plain", 1.12},
	{"start_cpu_ms", "unitc", "floor-scope", 1.1},
	{"start_cpu_ms", "unitc-service", "floor", 1.1},
	{"start_ms", "unitc", "quadlet", 1 / 3.},
	{"start_cpu_ms", "unitc", "quadlet", 1 / 3.},
	{"image_start_ms", "unitc-big", "quadlet-big", 1 / 3.}, {"image_start_cpu_ms", "unitc-big", "quadlet-big", 1 / 3.},
	{"stop_ms", "unitc", "plain", 1.15}, {"stop_ms", "unitc-from-image", "plain", 1.15}, {"stop_ms", "unitc-bridge", "plain", 1.15}, {"stop_ms", "unitc-bridge-joined", "plain", 1.15},
	{"direct_ms", "direct-unitc", "direct-crun", 1},
	{"direct_cpu_ms", "direct-unitc", "direct-crun", 1},
	{"cycle_ms", "direct-unitc", "direct-crun", 1}, {"cycle_cpu_ms", "direct-unitc", "direct-crun", 1},
	{"direct_ms", "direct-unitc-scope", "direct-crun-scope", 1}, {"direct_cpu_ms", "direct-unitc-scope", "direct-crun-scope", 1},
	{"cycle_ms", "direct-unitc-scope", "direct-crun-scope", 1}, {"cycle_cpu_ms", "direct-unitc-scope", "direct-crun-scope", 1},
	{"direct_ms", "direct-unitc", "direct-floor", 1.3}, {"direct_ms", "direct-unitc-exec", "direct-floor", 1.3},
	{"many_10_ms", "unitc", "plain", 2}, {"many_50_ms", "unitc", "plain", 2}, {"many_100_ms", "unitc", "plain", 2},
	{"many_100_ms", "unitc-service", "plain", 1.4},
	{"many_100_ms", "unitc", "quadlet", 1 / 5.}, {"many_100_cpu_ms", "unitc", "quadlet", 1 / 5.},
	{"many_100_stop_ms", "unitc", "plain", 1.5},
	{"logs_klines_per_s", "plain", "unitc", 1 / 0.95}, {"logs_cpu_s", "unitc", "plain", 1.1},
	{"exec_ms", "unitc", "quadlet", 1 / 5.},
	{"ps_1000_ms", "unitc", "quadlet", 1 / 3.}, {"stats_1000_cpu_ms", "unitc", "quadlet", 1 / 2.},
	{"net_mib_per_s", "quadlet-bridge", "unitc-bridge", 1.1}, {"net_roundtrip_us", "unitc-bridge", "quadlet-bridge", 1.1},
	{"ports_1000_start_ms", "unitc-ports", "quadlet-ports", 1 / 2.}, {"ports_1000_start_cpu_ms", "unitc-ports", "quadlet-ports", 1 / 2.},
	{"generator_1_cpu_ms", "unitc", "quadlet", 1 / 2.}, {"generator_10_cpu_ms", "unitc", "quadlet", 1 / 2.},
	{"generator_100_cpu_ms", "unitc", "quadlet", 1 / 3.}, {"generator_1000_cpu_ms", "unitc", "quadlet", 1 / 3.}, {"generator_5000_cpu_ms", "unitc", "quadlet", 1 / 3.},
	{"boot_10_ms", "unitc", "plain", 1.2}, {"boot_50_ms", "unitc", "plain", 1.2}, {"boot_50_ms", "unitc-service", "plain", 1.2},
}

func (g goal) print(t *table) {
	ours, ok := t.median(g.metric, g.ours)
	theirs, ok2 := t.median(g.metric, g.theirs)
	if !ok || !ok2 || theirs == 0 {
		return
	}
	verdict := "reached"
	if ours/theirs > g.most {
		verdict = "MISSED"
	}
	fmt.Printf("goal %-22s %-18s ≤ %.2f × %-17s is %.2f  %s\n", g.metric, g.ours, g.most, g.theirs, ours/theirs, verdict)
}

// mostBridge is what a bridge with a published port may add to a start, in ms.
const mostBridge = 3

func (t *table) printBridge() {
	none, ok := t.median("start_ms", "unitc")
	for _, peer := range []string{"unitc-bridge", "unitc-bridge-joined"} {
		bridge, ok2 := t.median("start_ms", peer)
		if !ok || !ok2 {
			continue
		}
		verdict := "reached"
		if bridge-none > mostBridge {
			verdict = "MISSED"
		}
		fmt.Printf("goal start_ms               %-19s ≤ %d ms + unitc   is %.1f  %s\n", peer, mostBridge, bridge-none, verdict)
	}
}

// regression is how much worse a ratio may get: by a fifth.
const regression = 1.2

// watched are the metrics whose ratios hold on a busy machine: CPU and memory.
var watched = []string{"start_cpu_ms", "stop_cpu_ms", "many_50_cpu_ms", "many_50_stop_cpu_ms", "memory_10_private_kib", "generator_100_cpu_ms"}

// compareFiles fails where a ratio of ours to the peer that costs least has got
// worse since the older file.
func compareFiles(older, newer string) error {
	before, err := readTable(older)
	if err != nil {
		return err
	}
	after, err := readTable(newer)
	if err != nil {
		return err
	}
	worse := 0
	for _, metric := range watched {
		for _, r := range after.of(metric) {
			if !strings.HasPrefix(r.peer, "unitc") {
				continue
			}
			for _, base := range []string{"plain", "quadlet"} {
				was, ok := before.ratio(metric, r.peer, base)
				is, ok2 := after.ratio(metric, r.peer, base)
				if !ok || !ok2 {
					continue
				}
				verdict := ""
				if is > was*regression {
					verdict = "  WORSE by more than a fifth"
					worse++
				}
				fmt.Printf("%-24s %-18s ÷ %-8s was %.2f, is %.2f%s\n", metric, r.peer, base, was, is, verdict)
				break
			}
		}
	}
	if worse > 0 {
		return fmt.Errorf("%d ratios got worse by more than a fifth", worse)
	}
	return nil
}

// ratio is that of the least values: what a busy machine adds is not in them.
func (t *table) ratio(metric, ours, base string) (float64, bool) {
	var a, b float64
	for _, r := range t.of(metric) {
		switch r.peer {
		case ours:
			a = r.min
		case base:
			b = r.min
		}
	}
	return a / b, a > 0 && b > 0
}

// markdown is the table of README: a row for each peer.
func (t *table) markdown() string {
	columns := []struct{ metric, title string }{
		{"start_ms", "start, ms"}, {"start_cpu_ms", "CPU of a start, ms"}, {"stop_ms", "stop, ms"}, {"restart_ms", "restart, ms"}, {"memory_10_private_kib", "memory, KiB"},
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	rows := t.of("start_ms")
	slices.SortFunc(rows, func(a, b row) int { return int(1000 * (a.median - b.median)) })
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |", r.peer)
		for _, c := range columns {
			if v, ok := t.median(c.metric, r.peer); ok {
				fmt.Fprintf(&b, " %.1f |", v)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
