// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/units"
)

func (a *app) kill() *cobra.Command {
	signal, all := "KILL", false
	cmd := &cobra.Command{
		Use:   "kill [-s SIGNAL] [--all] NAME…",
		Short: "send a signal to containers",
		Long: `Send a signal to the first process of containers, SIGKILL by default. It does not
count as a stop: a container whose definition restarts it starts again; systemctl
stop ends it. The first process of a container ignores signals that it does not
handle, SIGKILL and SIGSTOP apart (pid_namespaces(7)).`,
		Example:           "  unitc kill -s HUP web",
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := signalNumber(signal)
			if err != nil {
				return err
			}
			return a.eachRunning(cmd, args, func(ctx context.Context, bus units.Bus, name string) error {
				return units.Kill(ctx, bus, name, number, all)
			})
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "the `SIGNAL`'s name or number")
	cmd.Flags().BoolVar(&all, "all", false, "send it to all processes")
	return cmd
}

// signalNumber takes HUP, SIGHUP, 1, RTMIN+3.
func signalNumber(text string) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= 64 {
		return n, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return int(n), nil
	}
	// glibc's range: the kernel's begins two below (signal(7)).
	if n, ok := strings.CutPrefix(name, "RTMIN"); ok {
		if n == "" {
			return 34, nil
		}
		if i, err := strconv.Atoi(n); err == nil && i >= 0 && i <= 30 {
			return 34 + i, nil
		}
	}
	return 0, usagef("no signal %q; `kill -l` lists them", text)
}

func (a *app) pause() *cobra.Command {
	return &cobra.Command{
		Use:   "pause NAME…",
		Short: "freeze all processes of containers",
		Long: `Freeze all processes of containers: they keep their memory and get no processor
time until unitc unpause. systemd goes on counting time: a watchdog or a stop
that comes meanwhile waits its time and then kills.`,
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachRunning(cmd, args, units.Freeze)
		},
	}
}

func (a *app) unpause() *cobra.Command {
	return &cobra.Command{
		Use:               "unpause NAME…",
		Short:             "let frozen containers go on",
		Args:              some("the name of a container"),
		ValidArgsFunction: a.completeRunning,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachRunning(cmd, args, units.Thaw)
		},
	}
}

// eachRunning acts on all containers that words mean, of a project on those that
// run. All words are looked up before anything is done.
func (a *app) eachRunning(cmd *cobra.Command, words []string, act func(ctx context.Context, bus units.Bus, name string) error) error {
	return a.askSystemd(cmd, func(ctx context.Context, bus units.Bus) error {
		var names []string
		for _, word := range words {
			meant, err := a.targets(ctx, bus, []string{word})
			if err != nil {
				return err
			}
			for _, name := range a.thoseThatRun(ctx, bus, meant) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		return a.each(names, func(name string) error {
			pid, err := units.MainPID(ctx, bus, name+".service")
			if err == nil && pid == 0 {
				err = a.notRunning(ctx, bus, name)
			}
			if err != nil {
				return err
			}
			if err := act(ctx, bus, name); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, name)
			return nil
		})
	})
}

// thoseThatRun leaves out of several containers those without a payload: a project has
// services of other profiles, and jobs that are done. Where none runs all are kept, to
// be named.
func (a *app) thoseThatRun(ctx context.Context, bus units.Bus, names []string) []string {
	if len(names) < 2 {
		return names
	}
	running := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		pid, err := units.MainPID(ctx, bus, name+".service")
		return err == nil && pid == 0
	})
	if len(running) == 0 {
		return names
	}
	return running
}
