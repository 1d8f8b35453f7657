// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// An option of our own is never sent elsewhere, and what is to be written instead is there.
func TestInstead(t *testing.T) {
	root := testApp().command()
	for verb, options := range instead {
		cmd, _, err := root.Find([]string{verb})
		if err != nil || cmd == root {
			t.Errorf("there is no verb %s", verb)
			continue
		}
		for name, text := range options {
			f := cmd.Flags().Lookup(name)
			if len(name) == 1 {
				f = cmd.Flags().ShorthandLookup(name)
			}
			if f != nil {
				t.Errorf("%s has %s, and is said not to", verb, name)
			}
			for _, word := range strings.Split(text, "`")[1:] {
				if rest, ok := strings.CutPrefix(word, "unitc "); ok {
					checkOptions(t, root, strings.Fields(rest))
				}
			}
		}
	}
}

// checkOptions looks whether a command has the options that it is written with.
func checkOptions(t *testing.T, root *cobra.Command, words []string) {
	t.Helper()
	cmd, rest, err := root.Find(words)
	if err == nil && cmd != root {
		err = cmd.ParseFlags(rest)
	}
	if err != nil || cmd == root {
		t.Errorf("unitc %s: %v", strings.Join(words, " "), err)
	}
}

func TestOptionsOfOthers(t *testing.T) {
	for line, want := range map[string]string{
		"up --scale web=3 x.yaml": "unitc: up: no --scale: write scale: N at the service in the file",
		"up -f compose.yaml":      "unitc: up: no -f: name the file without an option",
		"down -t 5 web":           "unitc: down: no -t: write stop_grace_period:",
		"ps --format {{.Names}}":  "unitc: ps --format {{.Names}}: write table or json",
		"ps --filter label=a":     "unitc: ps --filter label=a: filters are name, status and health",
		"ps --filter status=up":   "unitc: ps --filter status=up: no such state; want one of exited, failed,",
		"ps --filter name":        "unitc: ps --filter name: want KEY=VALUE",
		"ps --filter health=ill":  "want one of healthy, unhealthy, starting, none",
		"up --pull never x.yaml":  "unitc: up --pull never: write missing or always",
		"up --detach=false x":     "unitc: up: systemd runs them; unitc logs -f NAME",
		"logs -t -o cat web":      "unitc: logs: one of --output, --timestamps and --no-log-prefix",
		"exec -T web sh":          "unitc: exec: no -T: there is no terminal without --tty",
	} {
		var out, errs strings.Builder
		status := (&app{stdout: &out, stderr: &errs}).run(strings.Fields(line))
		if status != 2 || !strings.HasPrefix(errs.String(), want) && !strings.Contains(errs.String(), want) {
			t.Errorf("unitc %s: %d, %s%s", line, status, out.String(), errs.String())
		}
	}
}

func TestSystemdTime(t *testing.T) {
	for text, want := range map[string]string{
		"10m": "-10m", "1h30m": "-1h30m", "1.5h": "-1.5h", "1700000000": "@1700000000", "-1h": "-1h", "yesterday": "yesterday", "": "", "2026-01-02": "2026-01-02",
		"2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z", "12:30": "12:30",
	} {
		if got := systemdTime(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
