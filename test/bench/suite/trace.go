// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// traceLine is what UNITC_TRACE=1 makes the helper print: its own steps with
// their CPU, then those of the payload's first process.
var traceLine = regexp.MustCompile(`^(helper|step) ( *)(\S.*?) +(\d+) µs(?: +(\d+) µs of CPU)?(?: : .*)?$`)

// trace: what each step of a start takes, from inside.
func (b *bench) trace() error {
	i := slices.IndexFunc(b.peers, func(p *peer) bool { return p.name == "unitc" })
	if i < 0 {
		return nil
	}
	p := b.peers[i]
	dir := "/run/systemd/system/" + p.service("1") + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/trace.conf", []byte("[Service]\nEnvironment=UNITC_TRACE=1\n"), 0o644); err != nil {
		return err
	}
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	times := map[string][]float64{}
	var order []string
	for range b.n(25, 7) {
		exec.Command("journalctl", "--rotate", "--vacuum-size=1M").Run()
		if _, err := b.start(p, "1"); err != nil {
			return err
		}
		exec.Command("journalctl", "--sync").Run()
		out, err := exec.Command("journalctl", "-q", "-b", "-o", "cat", "-u", p.service("1")).Output()
		if err != nil {
			return err
		}
		if err := systemctl("stop", p.service("1")); err != nil {
			return err
		}
		for line := range strings.Lines(string(out)) {
			m := traceLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil {
				continue
			}
			name := "trace_" + m[1] + "_" + strings.ReplaceAll(m[2]+m[3], " ", "_") + "_us"
			if times[name] == nil {
				order = append(order, name)
			}
			value, _ := strconv.ParseFloat(m[4], 64)
			times[name] = append(times[name], value)
		}
	}
	for _, name := range order {
		v := slices.Sorted(slices.Values(times[name]))
		fmt.Printf("%s\tunitc\t%.3f\t%.3f\t%.3f\t%d\n", name, v[len(v)/2], v[0], v[len(v)-1], len(v))
	}
	return systemctl("daemon-reload")
}

// traceTable is where the time goes, for docs/PERFORMANCE.md.
func (t *table) traceTable() string {
	var b strings.Builder
	b.WriteString("| process | step | µs, median | least |\n|---|---|---:|---:|\n")
	for _, r := range t.rows {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(r.metric, "_us"), "trace_")
		if !ok {
			continue
		}
		who, step, _ := strings.Cut(rest, "_")
		process := map[string]string{"helper": "helper", "step": "payload's first process"}[who]
		indent := len(step) - len(strings.TrimLeft(step, "_"))
		fmt.Fprintf(&b, "| %s | %s`%s` | %.0f | %.0f |\n", process, strings.Repeat("&nbsp;", 2*indent), strings.TrimLeft(step, "_"), r.median, r.min)
	}
	return b.String()
}
