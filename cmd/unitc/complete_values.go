// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// optionValues are what shells offer behind an option, by verb and option; the value of
// any other is a file's name to them.
var optionValues = map[string]map[string][]string{
	"check":   {"format": diag.Formats},
	"convert": {"format": diag.Formats},
	"build":   {"builder": {"podman", "buildah", "docker"}},
	"graph":   {"format": graphFormats},
	"kill":    {"signal": {"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH"}},
	"logs": {
		"priority": {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"},
		"output":   {"short", "short-iso", "short-precise", "short-iso-precise", "short-full", "short-monotonic", "short-unix", "verbose", "export", "json", "json-pretty", "cat", "with-unit"},
		"since":    {"today", "yesterday", "-1h"}, "until": {"now", "today", "yesterday"}, "lines": {"all"}, "tail": {"all"},
	},
	"events": {"since": {"today", "yesterday", "-1h"}, "until": {"now", "today", "yesterday"}},
	"ps": {
		"format": {"table", "json"},
		"filter": {"status=running", "status=failed", "status=stopped", "health=healthy", "health=unhealthy", "health=starting"},
	},
	"pull":  {"policy": {definition.PullMissing, definition.PullAlways, definition.PullNever, "daily", "weekly"}, "platform": {"linux/amd64", "linux/arm64"}},
	"run":   {"pull": {definition.PullMissing, definition.PullAlways, definition.PullNever}, "network": {"none", "host", "bridge", "pasta"}},
	"save":  {"format": {"tar", "dir"}},
	"stats": {"sort": orders, "interval": {"500ms", "1s", "2s", "10s"}},
	"up":    {"pull": {definition.PullMissing, definition.PullAlways}},
}

// completeValues has shells offer them.
func completeValues(root *cobra.Command) {
	for verb, options := range optionValues {
		cmd, _, err := root.Find([]string{verb})
		if err != nil || cmd == root {
			continue
		}
		for name, values := range options {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}
