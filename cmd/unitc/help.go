// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/terminal"
)

// Groups of verbs.
const (
	groupRun    = "run"
	groupDefine = "define"
	groupImages = "images"
	groupOther  = "other"
)

// groups as help shows them: everyday verbs with a line each, the others by
// name, so that all of it fits a screen of 24 lines.
var groups = []struct {
	id, title string
	everyday  []string
}{
	{groupRun, "Running containers", []string{"ps", "logs", "exec", "run", "stats", "why"}},
	{groupDefine, "Definitions", []string{"up", "check"}},
	{groupImages, "Images, volumes, networks", nil},
	{groupOther, "Other", nil},
}

// helpWidth leaves a margin on a terminal of 80 columns.
const helpWidth = 78

// overview is what `unitc help` prints below its first line.
func overview(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [ARGUMENT…]\n", root.UseLine())
	for _, g := range groups {
		var named []string
		for _, v := range verbsOf(root, g.id) {
			if !slices.Contains(g.everyday, v.Name()) {
				named = append(named, v.Name())
			}
		}
		text := strings.Join(named, " ")
		if g.id == groupOther {
			fmt.Fprintf(&b, "%s: %s\n", g.title, text)
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		for _, name := range g.everyday {
			if v, _, err := root.Find([]string{name}); err == nil && v != root {
				fmt.Fprintf(&b, "  %-7s %s\n", v.Name(), v.Short)
			}
		}
		for _, line := range terminal.Wrap(text, helpWidth-2) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	b.WriteString("`unitc help VERB` explains a verb, `unitc help all` lists all; manual: unitc(1).")
	return b.String()
}

func verbsOf(root *cobra.Command, id string) []*cobra.Command {
	var list []*cobra.Command
	for _, c := range root.Commands() {
		if c.GroupID == id && (c.IsAvailableCommand() || c.Name() == "help") {
			list = append(list, c)
		}
	}
	return list
}

func (a *app) help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB|all]",
		Short: "explain a verb, or list all of them",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names := []cobra.Completion{"all"}
			for _, v := range root.Commands() {
				names = append(names, v.Name())
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return root.Help()
			}
			if args[0] == "all" {
				a.listVerbs(root)
				return nil
			}
			verb, rest, err := root.Find(args)
			if err != nil || verb == root || len(rest) > 0 {
				return unknownVerb(root, args)
			}
			return verb.Help()
		},
	}
}

// listVerbs prints every verb with its line.
func (a *app) listVerbs(root *cobra.Command) {
	for i, g := range groups {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintln(a.stdout, g.title+":")
		for _, v := range verbsOf(root, g.id) {
			fmt.Fprintf(a.stdout, "  %-13s %s\n", v.Name(), v.Short)
		}
	}
}

// withVerbs is a verb that has verbs of its own.
func withVerbs(cmd *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	cmd.Args = unknownVerb
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, v := range verbs {
		v.DisableFlagsInUseLine = true
		cmd.AddCommand(v)
	}
	cmd.SetUsageTemplate(withVerbsTemplate)
	return cmd
}

const withVerbsTemplate = `Usage: {{.UseLine}}{{if .HasAvailableSubCommands}} [ARGUMENT…]
{{range .Commands}}
  {{rpad .Name 11}}{{.Short}}{{end}}
{{else}}{{if .HasAvailableLocalFlags}}

Options:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{end}}`

const usageTemplate = `{{if not .HasParent}}{{overview .}}{{else}}Usage: {{.UseLine}}{{if .HasAvailableSubCommands}}

Verbs:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name 10}}{{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableLocalFlags}}

Options:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{end}}
`
