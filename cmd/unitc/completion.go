// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// shells are those with a completion script.
var shells = []string{"bash", "zsh", "fish"}

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "print the completion script of a shell",
		Long: `Print the completion script of a shell. make install and the packages put it
where the shells look; for one session: source <(unitc completion bash).`,
		Args:      exactly(1, "bash, zsh or fish"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			}
			return usagef("completion: no script for %q; want one of %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// completer offers names of a kind; a store that cannot be read has none.
func (a *app) completer(names func() []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if a.checkRoot() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) imageNames() (list []string) {
	rows, _ := a.imageRows()
	for _, r := range rows {
		list = append(list, r.Names...)
	}
	return list
}

func (a *app) volumeNames() (list []string) {
	s, err := a.openStore()
	if err != nil {
		return nil
	}
	all, _ := s.Volumes()
	for _, v := range all {
		list = append(list, v.Name)
	}
	return list
}

func (a *app) networkNames() (list []string) {
	rows, _ := a.networkRows()
	for _, n := range rows {
		list = append(list, n.Name)
	}
	return list
}
