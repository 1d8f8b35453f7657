// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/realm"
)

// app is what the verbs share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// root is --root without a slash at the end; "" is the host.
	root string
	// user is --user, in front of the verb.
	user bool
	// unitDir is where the generated units are.
	unitDir string
	host    live.Host
	now     func() time.Time
	// connect and booted are systemd; tests put another there.
	connect func(context.Context) (units.Bus, error)
	booted  func() error
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, unitDir: catalog.OutDir(), host: live.Here, now: time.Now, booted: units.Booted,
		connect: units.Connect}
	return a.run(args)
}

func (a *app) run(args []string) int {
	args = a.takeUser(args)
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.Execute()
	var silent statusError
	if err != nil && !errors.As(err, &silent) {
		a.complain(err)
	}
	return exitStatus(err)
}

// complain prints an error. Problems of definitions have their own form, which
// editors read, so they stand alone on their lines.
func (a *app) complain(err error) {
	var broken *catalog.BrokenError
	if errors.As(err, &broken) {
		fmt.Fprint(a.stderr, terminal.CleanText(broken.Problems.String()))
		return
	}
	text := err.Error()
	if c := cure(err); c != "" {
		text += "; " + c
	}
	// It may repeat what others have made up: names of files in a container, say.
	fmt.Fprintln(a.stderr, "unitc: "+terminal.CleanText(realm.Words(text)))
}

// remark tells what the operator has to know beside the result, and may have to do.
func (a *app) remark(format string, args ...any) {
	fmt.Fprintln(a.stderr, terminal.CleanText(realm.Words(fmt.Sprintf(format, args...))))
}

func (a *app) command() *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:               "unitc [--user] VERB",
		Short:             "Run containers as systemd units",
		Version:           buildinfo.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,

		DisableFlagsInUseLine: true,
		Args:                  unknownVerb,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkRoot(); err != nil {
				return err
			}
			return a.asUser(cmd)
		},
	}
	root.PersistentFlags().StringVar(&a.root, "root", "", "look for definitions and units below `DIR` instead of /")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		// A verb's flags are those of what is above it where there is no such verb.
		if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
			return unknownVerb(cmd, args)
		}
		if !cmd.HasParent() {
			return usagef("%w; see `unitc --help`", err)
		}
		if text := otherOption(cmd, err); text != "" {
			return usagef("%s: no %s", strings.TrimPrefix(cmd.CommandPath(), "unitc "), text)
		}
		return usagef("%s: %w; see `%s --help`", strings.TrimPrefix(cmd.CommandPath(), "unitc "), err, cmd.CommandPath())
	})
	root.SetVersionTemplate("unitc {{.Version}}\n")
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
	}
	for id, verbs := range a.verbs() {
		for _, cmd := range verbs {
			cmd.GroupID = id
			cmd.DisableFlagsInUseLine = true
			root.AddCommand(cmd)
		}
	}
	completeValues(root)
	help := a.help(root)
	help.GroupID = groupOther
	root.SetHelpCommand(help)
	root.InitDefaultHelpCmd()
	root.CompletionOptions.DisableDefaultCmd = true
	cobra.AddTemplateFunc("overview", overview)
	root.SetUsageTemplate(usageTemplate)
	return root
}

// verbs by their groups, each in the order of help.
func (a *app) verbs() iter.Seq2[string, []*cobra.Command] {
	return func(yield func(string, []*cobra.Command) bool) {
		_ = yield(groupRun, []*cobra.Command{
			a.ps(), a.logs(), a.exec(), a.attach(), a.runVerb(),
			a.stats(), a.top(), a.metrics(), a.inspect(), a.why(), a.healthcheck(),
			a.kill(), a.pause(), a.unpause(), a.wait(),
			a.cp(), a.changes(), a.export(), a.events(), a.port(),
			a.enable(), a.disable(),
		}) && yield(groupDefine, []*cobra.Command{
			a.up(), a.down(), a.edit(),
			a.check(), a.convert(), a.diff(), a.apply(), a.updateLimits(),
			a.cat(), a.generate(), a.plan(), a.spec(), a.schema(),
		}) && yield(groupImages, []*cobra.Command{
			a.images(), a.buildVerb(), a.pull(), a.load(), a.save(), a.push(), a.tag(), a.login(), a.logout(),
			a.rmi(), a.prune(), a.history(), a.df(), a.verify(),
			a.update(), a.rollback(),
			a.volume(), a.network(),
			a.secret(),
		}) && yield(groupOther, []*cobra.Command{
			a.doctor(), a.graph(), a.boot(), a.devices(),
			a.waitFor(), a.oci(), a.version(), a.completion(),
		})
	}
}

// unknownVerb is all that the root command, or one with verbs of its own, can be given.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("no verb %q", args[0])
	if other := elsewhere[strings.TrimSpace(verbOf(cmd)+" "+args[0])]; other != "" {
		return usagef("%s; %s", text, other)
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%s; did you mean %s?", text, near[0])
	}
	return usagef("%s; see `%s`", text, strings.TrimSpace("unitc help "+verbOf(cmd)))
}

// checkRoot makes the prefix absolute and sees that it is a directory: with a
// slip in it every answer would be "nothing there".
func (a *app) checkRoot() error {
	if a.root == "" {
		return nil
	}
	abs, err := filepath.Abs(a.root)
	if err != nil {
		return usagef("--root %s: %w", a.root, err)
	}
	if a.root = strings.TrimSuffix(abs, "/"); a.root == "" {
		return nil
	}
	return isDirectory("--root", a.root)
}

// exactly wants n arguments and says which.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usagef("%s: want %s, got %d arguments; usage: %s", cmd.Name(), what, len(args), cmd.UseLine())
	}
}

// some wants one argument or more.
func some(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usagef("%s: want %s; usage: %s", cmd.Name(), what, cmd.UseLine())
	}
}

// completeNames offers the names of definitions.
func (a *app) completeNames(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if a.checkRoot() != nil || a.asUser(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return catalog.Names(a.root), cobra.ShellCompDirectiveNoFileComp
}
