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
