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

// foreignKeys are words of neighbouring languages (docker run, Quadlet, older
// compose files) and what to write for them here.
var foreignKeys = map[string]string{
	"autostart":    "restart: always",
	"cmd":          "command",
	"cpu":          "cpus",
	"cpu_limit":    "cpus",
	"env":          "environment",
	"envfile":      "env_file",
	"exec":         "command",
	"memory":       "mem_limit",
	"memory_limit": "mem_limit",
	"mount":        "volumes",
	"mounts":       "volumes",
	"net":          "network_mode",
	"network":      "networks",
	"port":         "ports",
	"publish":      "ports",
	"root":         "rootfs",
	"run_as":       "user",
	"swap_limit":   "memswap_limit",
	"timeout":      "stop_grace_period",
	"volume":       "volumes",
	"workdir":      "working_dir",
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
	cure := "remove it, or begin it with x- to keep it as a note"
	if near := nearest(p.key, names); near != "" {
		cure = "did you mean " + near + "?"
	} else if word := foreignKeys[strings.ToLower(p.key)]; word != "" && findField(fields, strings.SplitN(word, ":", 2)[0]) != nil {
		cure = "write " + word
	}
	r.faultKey(n, p, cure, "unknown key").Rule = diag.RuleUnknownKey
}
