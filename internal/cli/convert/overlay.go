// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// ofRun are the options that `unitc run` has from the table: what they say is all in keys
// of a definition, and concerns a container that runs once. It has others of its own.
var ofRun = []string{
	"annotation", "blkio-weight", "cgroupns", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "device-cgroup-rule", "device-read-bps",
	"device-read-iops", "device-write-bps", "device-write-iops", "dns-option", "dns-opt", "dns-search", "domainname", "gpus", "group-add", "health-cmd", "health-interval", "health-retries",
	"health-start-interval", "health-start-period", "health-timeout", "ipc", "label-file", "memory-reservation", "memory-swap", "mount", "no-healthcheck", "oom-score-adj",
	"pid", "platform", "runtime", "stop-timeout", "sysctl", "timeout", "tz", "unsetenv", "uts",
}

// RunOption is one of them.
type RunOption struct {
	Name, Short string
	Flag        bool   // it takes no value
	Key         string // of the definition, with what is below it
}

// RunOptions are all of them, in the order of the table.
func RunOptions() (list []RunOption) {
	for _, o := range options {
		key, _, _ := strings.Cut(strings.TrimPrefix(o.becomes, "`"), "`")
		for name := range strings.FieldsSeq(o.name) {
			if slices.Contains(ofRun, name) {
				list = append(list, RunOption{Name: name, Short: o.short, Flag: o.flag, Key: key})
			}
		}
	}
	return list
}

// Given is an option as somebody has given it.
type Given struct{ Name, Value string }

// Overlay makes of options what is laid over a definition, nil for nothing. What cannot
// be said is an error; remarks say what is meant otherwise.
func Overlay(host Host, given []Given) (text []byte, remarks []string, err error) {
	s := New(host)
	at := place{file: commandLine, line: 1}
	d := s.newDef("run", at)
	for i, g := range given {
		at.col = i + 1 // the problems' order is that of the options
		optionOf(g.Name).do(d, arg{name: "--" + g.Name, text: g.Value, at: at})
	}
	for _, p := range s.Problems() {
		said := p.Path + ": " + p.What
		if p.Cure != "" {
			said += "; " + p.Cure
		}
		switch {
		case p.Rule == diag.RuleLoss || p.Severity == diag.Error:
			return nil, nil, fmt.Errorf("%s", said)
		case p.Severity == diag.Warning:
			remarks = append(remarks, said)
		}
	}
	if d.root.isEmpty() {
		return nil, remarks, nil
	}
	d.root.sort(order)
	var w writer
	w.mapping("", "", d.root)
	return []byte(w.b.String()), remarks, nil
}

// Instead says what to do about an option of docker run that `unitc run` has not, a
// letter for a short one; "" = there is none of that name.
func Instead(name string) string {
	o := optionOf(name)
	if len(name) == 1 {
		o = optionOfLetter(name)
	}
	if o == nil || o.name == "seccomp-file" {
		return ""
	}
	if why, ok := strings.CutPrefix(o.becomes, "nothing: "); ok {
		return "leave it away: " + why
	}
	if what, ok := strings.CutPrefix(o.becomes, "lost: "); ok {
		return what
	}
	return "in a definition it becomes " + strings.ReplaceAll(o.becomes, "`", "") + ": `unitc convert -o . -- docker run ...` writes one, and `unitc run --file` runs it"
}
