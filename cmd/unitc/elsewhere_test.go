// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// A verb of our own is never sent elsewhere, and what is written instead is one.
func TestElsewhere(t *testing.T) {
	root := testApp().command()
	for typed, other := range elsewhere {
		words := strings.Fields(typed)
		cmd, rest, err := root.Find(words)
		if err == nil && len(rest) == 0 {
			t.Errorf("%s is a verb of unitc, and is said to be %s", typed, other)
		}
		if len(words) > 1 && (err != nil || cmd == root) {
			t.Errorf("%s: there is no verb %s", typed, words[0])
		}
		for _, part := range strings.Split(other, "unitc ")[1:] {
			if verb := strings.Trim(strings.Fields(part)[0], ",;:"); verb != "NAME" {
				if cmd, _, err := root.Find([]string{verb}); err != nil || cmd == root {
					t.Errorf("%s: %s: there is no verb %s", typed, other, verb)
				}
			}
		}
	}
}

// It is named also where it comes with flags, which the root command has not.
func TestElsewhereWithFlags(t *testing.T) {
	for line, want := range map[string]string{
		"rm -f web":                  "no verb \"rm\"; nothing stays",
		"restart -t 5 web":           "write systemctl restart NAME",
		"compose up -d":              "write unitc up compose.yaml",
		"psx --all":                  "did you mean ps?",
		"secret create a b":          "no verb \"create\"; write unitc secret set NAME",
		"secret create -l a=b x":     "write unitc secret set NAME",
		"volume prune -f":            "unitc volume ls lists them",
		"volume list":                "write unitc volume ls",
		"network create -d bridge x": "write networks: in a definition",
		"volume nothing":             "no verb \"nothing\"; see `unitc help volume`",
		"context ls":                 "write ssh HOST unitc ps",
		"--nosuch":                   "unitc: unknown flag: --nosuch; see `unitc --help`",
		"ps --nosuch":                "unitc: ps: unknown flag: --nosuch; see `unitc ps --help`",
		"network ls --nosu":          "unitc: network ls: unknown flag: --nosu",
	} {
		var out, errs strings.Builder
		status := (&app{stdout: &out, stderr: &errs}).run(strings.Fields(line))
		if status != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("unitc %s: %d, %s%s", line, status, out.String(), errs.String())
		}
	}
}
