// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// A verb of our own is never sent elsewhere.
func TestElsewhere(t *testing.T) {
	for _, c := range (&app{}).command().Commands() {
		for _, name := range append([]string{c.Name()}, c.Aliases...) {
			if other := elsewhere[name]; other != "" {
				t.Errorf("%s is a verb of unitc, and is said to be %s", name, other)
			}
		}
	}
}

// It is named also where it comes with flags, which the root command has not.
func TestElsewhereWithFlags(t *testing.T) {
	for line, want := range map[string]string{
		"rm -f web":         "no verb \"rm\"; nothing stays",
		"restart -t 5 web":  "write systemctl restart NAME",
		"compose up -d":     "write unitc up compose.yaml",
		"psx --all":         "did you mean ps?",
		"--nosuch":          "unitc: unknown flag: --nosuch; see `unitc --help`",
		"ps --nosuch":       "unitc: ps: unknown flag: --nosuch; see `unitc ps --help`",
		"network ls --nosu": "unitc: network ls: unknown flag: --nosu",
	} {
		var out, errs strings.Builder
		status := (&app{stdout: &out, stderr: &errs}).run(strings.Fields(line))
		if status != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("unitc %s: %d, %s%s", line, status, out.String(), errs.String())
		}
	}
}
