// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/cli/units"
)

// An option of our own is never sent elsewhere, and what is to be written instead is there.
func TestInstead(t *testing.T) {
	root := testApp().command()
	for verb, options := range instead {
		cmd, rest, err := root.Find(strings.Fields(verb))
		if err != nil || cmd == root || len(rest) > 0 {
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

// What somebody types out of habit works, or is answered with what to write.
func TestEveryOptionOfOthersIsAnswered(t *testing.T) {
	text, err := os.ReadFile("testdata/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		verb, rest, _ := strings.Cut(line, ": ")
		whose, options, ok := strings.Cut(rest, ": ")
		if !ok {
			t.Fatalf("no options in %q", line)
		}
		for _, option := range strings.Fields(options) {
			cmd, more, err := testApp().command().Find(strings.Fields(verb))
			if err != nil || len(more) > 0 {
				t.Fatalf("there is no verb %s: %v", verb, err)
			}
			count++
			var unknown *pflag.NotExistError
			if err := cmd.ParseFlags([]string{option}); errors.As(err, &unknown) && otherOption(cmd, err) == "" {
				t.Errorf("unitc %s %s: nothing is said of this option of %s", verb, option, whose)
			}
		}
	}
	if count < 500 {
		t.Errorf("only %d options were looked at", count)
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
		"ps --filter health=ill":  "want one of healthy, unhealthy, starting, failing, none",
		"up --pull never x.yaml":  "unitc: up --pull never: write missing or always",
		"up --detach=false x":     "unitc: up: systemd runs them; unitc logs -f NAME",
		"logs -t -o cat web":      "unitc: logs: one of --output, --timestamps and --no-log-prefix",
		"exec -T web sh":          "unitc: exec: no -T: there is no terminal without --tty",
		"kill -9 web":             "unitc: kill: no -9: write -s and the signal",
		"kill -HUP web":           "unitc: kill: no -H: write -s and the signal",
		"update --memory 1g web":  "`unitc update-limits NAME KEY=VALUE` changes limits of what runs",
		"inspect -f {{.State}} x": "unitc: inspect: no -f: it prints JSON, of which jq(1) chooses",
		"volume inspect -f x y":   "unitc: volume inspect: no -f: it prints JSON",
		"volume ls -f x":          "unitc: volume ls: no -f: write --json",
		"top web -eo pid":         "unitc: top: no -e: it has columns of its own",
		"top web aux":             "unitc: top aux: it has columns of its own",
		"secret set --driver x y": "unitc: secret set: no --driver: systemd-creds(1) is the only one",
		"events --filter a=b":     "name the containers: `unitc events NAME`",
	} {
		var out, errs strings.Builder
		status := (&app{stdout: &out, stderr: &errs}).run(strings.Fields(line))
		if status != 2 || !strings.HasPrefix(errs.String(), want) && !strings.Contains(errs.String(), want) {
			t.Errorf("unitc %s: %d, %s%s", line, status, out.String(), errs.String())
		}
	}
}

// A check that has failed, and not often enough yet, is of a healthy container, as with
// Docker: no filter passes it over.
func TestFilterOfHealth(t *testing.T) {
	all := []units.Unit{{Name: "a", Health: "healthy"}, {Name: "b", Health: "failing: http 503, 1 of 3"}, {Name: "c", Health: "unhealthy: http 503, 3 of 3"}, {Name: "d", Health: "starting: refused"}, {Name: "e"}}
	for filter, want := range map[string]string{"healthy": "ab", "failing": "b", "unhealthy": "c", "starting": "d", "none": "e"} {
		keep, _, err := parseFilters([]string{"health=" + filter})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, u := range all {
			if keep(u) {
				got += u.Name
			}
		}
		if got != want {
			t.Errorf("health=%s keeps %s, want %s", filter, got, want)
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
