// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// maxTypos is the number of slips up to which a word is suggested, by length:
// short words are near to everything.
func maxTypos(word string) int {
	switch {
	case len(word) <= 2:
		return 0
	case len(word) <= 4:
		return 1
	case len(word) <= 8:
		return 2
	}
	return 3
}

// nearest is the word most like the given one, "" if none is near.
func nearest(word string, words []string) string {
	if len(word) > 64 {
		return ""
	}
	best, fewest := "", maxTypos(word)+1
	folded := fold(word)
	for _, candidate := range words {
		if d := distance(folded, fold(candidate), fewest); d < fewest {
			best, fewest = candidate, d
		}
	}
	return best
}

// fold takes memLimit, mem-limit and MEM_LIMIT for mem_limit: they are no typos
// but other languages' habits, and are suggested first.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
}

// distance is the number of letters to change, add, drop or swap (optimal
// string alignment); counting ends at most.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], most)
}

// foreignKey knows words of neighbouring languages (docker run, Quadlet, older
// compose files) and what to write for them here.
func foreignKey(key string) string {
	switch key {
	case "autostart":
		return "restart: always"
	case "cmd", "exec":
		return "command"
	case "cpu", "cpu_limit":
		return "cpus"
	case "dockerfile":
		return "build: {dockerfile: FILE}"
	case "env":
		return "environment"
	case "envfile":
		return "env_file"
	case "memory", "memory_limit":
		return "mem_limit"
	case "mount", "mounts", "volume":
		return "volumes"
	case "net":
		return "network_mode"
	case "network":
		return "networks"
	case "port", "publish":
		return "ports"
	case "replicas":
		return "scale"
	case "restart_policy":
		return "restart"
	case "root":
		return "rootfs"
	case "run_as":
		return "user"
	case "swap_limit":
		return "memswap_limit"
	case "stop_timeout", "timeout":
		return "stop_grace_period"
	case "workdir":
		return "working_dir"
	}
	return ""
}

// faultUnknown reports a key that the table does not have.
func (r *reader) faultUnknown(n *node, p *pair, fields []field) {
	if r.full() {
		return // what is looked for below would not be shown
	}
	names := make([]string, 0, len(fields))
	for i := range fields {
		if fields[i].refused == "" {
			names = append(names, fields[i].name)
		}
	}
	if n == r.root && r.services() == nil {
		names = append(names, "services")
	}
	cure := "remove it, or begin it with x- to keep it as a note"
	if near := nearest(p.key, names); near != "" {
		cure = "did you mean " + near + "?"
	} else if word := foreignKey(strings.ToLower(p.key)); word != "" && findField(fields, strings.SplitN(word, ":", 2)[0]) != nil {
		cure = "write " + word
	}
	r.faultKey(n, p, cure, "unknown key").Rule = diag.RuleUnknownKey
}

// warnOwn tells of a note of the operator's that is almost a key of unitc's. Notes have
// whatever name, so that it has to be nearer than a key that can't be right.
func (r *reader) warnOwn(n *node, p *pair, fields []field) {
	for i := range fields {
		own := fields[i].name
		const far = 3 // counting ends there
		if d := distance(fold(p.key), fold(own), far); !strings.HasPrefix(own, "x-") || d == far || d > len(p.key)/8 {
			continue
		}
		r.report(diag.Warning, p.place, join(r.pathOf(n), p.key), "did you mean "+own+"?", "a note of your own, which changes nothing").Rule = diag.RuleUnknownKey
		return
	}
}
