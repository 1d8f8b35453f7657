// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// notListings are verbs that print something else than a list: definitions and
// plans as they are, another program's lines, or a word on what they have done.
var notListings = []string{
	"attach", "build", "cat", "completion", "cp", "disable", "down", "edit", "enable", "exec", "export", "generate", "help", "kill", "logs", "pause", "rmi", "run",
	"save", "schema", "tag", "unpause", "up", "update-limits", "wait", "wait-for", "apply",
	"login", "logout",
	"metrics",                                                     // a format of its own
	"inspect", "spec", "oci", "network inspect", "volume inspect", // JSON always
	"network prune", "network reload", "network rm", "secret rm", "secret set", "volume create", "volume export", "volume import", "volume rm",
}

// "`--json` on every listing": a verb that is new has it, or stands above.
func TestEveryListingHasJSON(t *testing.T) {
	var look func(cmd *cobra.Command, above string)
	seen := map[string]bool{}
	look = func(cmd *cobra.Command, above string) {
		for _, c := range cmd.Commands() {
			name := strings.TrimSpace(above + " " + c.Name())
			if c.HasSubCommands() && c.Name() != "oci" {
				look(c, name)
				continue
			}
			seen[name] = true
			f := c.Flags()
			has := f.Lookup("json") != nil
			for _, word := range []string{"format", "output"} {
				if flag := f.Lookup(word); flag != nil {
					has = has || strings.Contains(flag.Usage, "json")
				}
			}
			if !has && !slices.Contains(notListings, name) {
				t.Errorf("unitc %s has no --json", name)
			}
			if has && slices.Contains(notListings, name) {
				t.Errorf("unitc %s has JSON, and is said to be no listing", name)
			}
		}
	}
	look(testApp().command(), "")
	for _, name := range notListings {
		if !seen[name] {
			t.Errorf("there is no unitc %s", name)
		}
	}
}
