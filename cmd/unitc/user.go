// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
)

// Verbs that do something for a user's own containers: some in the user's namespace,
// as what they read or write belongs to the ids of it, others as the user.
var (
	verbsOfUsers  = []string{"ps", "logs", "exec", "run", "attach", "stats", "top", "metrics", "inspect", "why", "healthcheck", "kill", "pause", "unpause", "wait", "cp", "export", "events", "port", "network", "enable", "disable", "build", "up", "down", "edit", "check", "convert", "diff", "apply", "update-limits", "secret", "login", "logout", "cat", "generate", "plan", "spec", "schema", "graph", "wait-for", "help", "version", "completion", "doctor"}
	verbsOfStores = []string{"images", "pull", "load", "save", "push", "tag", "rmi", "prune", "history", "df", "verify", "update", "rollback", "volume", "changes"}
)

// takeUser takes --user away, which stands in front of the verb: some verbs have an
// option of that name. A shell that completes words has its own in front.
func (a *app) takeUser(args []string) []string {
	at := 0
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		at = 1
	}
	if len(args) > at && args[at] == "--user" {
		a.user = true
		return slices.Delete(slices.Clone(args), at, at+1)
	}
	return args
}

// asUser makes --user's places those of all verbs.
func (a *app) asUser(cmd *cobra.Command) error {
	if !a.user || realm.Own() != nil {
		return nil
	}
	if a.root != "" {
		return usagef("--user: a user's containers are not in --root %s", a.root)
	}
	verb := cmd
	for verb.HasParent() && verb.Parent().HasParent() {
		verb = verb.Parent()
	}
	inStore := slices.Contains(verbsOfStores, verb.Name())
	if cmd.HasParent() && !inStore && !slices.Contains(verbsOfUsers, verb.Name()) {
		return usagef("%s: it is for the system's containers, which root runs; users have none of it", verb.Name())
	}
	if err := realm.Begin(); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	if realm.Own() == nil {
		return usagef("--user: root's containers are the system's; be the user, as with `machinectl shell USER@`")
	}
	searchpath.Dirs = realm.Definitions()
	a.unitDir = catalog.OutDir()
	a.host = live.Host{State: realm.Run, Cgroups: live.Here.Cgroups + cgroupfs.OwnRoot(), Proc: live.Here.Proc}
	if inStore {
		return a.enter(0)
	}
	return nil
}

// enter runs this very command in the user's namespace, or in that of a container's
// process, and ends with its status. There it returns at once.
func (a *app) enter(of int) error {
	u := realm.Own()
	if u == nil || u.Entered {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP)
	child, err := enter.Fork(u, append([]string{self}, os.Args[1:]...), enter.Options{Of: of})
	if err != nil {
		return err
	}
	if of != 0 {
		err = intoOwnCgroup(child.PID)
	}
	go func() {
		for s := range signals {
			// A terminal sends the others to both.
			if s == unix.SIGTERM || s == unix.SIGHUP {
				_ = unix.Kill(child.PID, s.(unix.Signal))
			}
		}
	}()
	if err == nil {
		err = child.Release()
	}
	if err != nil {
		_ = child.Kill()
		return fmt.Errorf("entering the user's namespace: %w", err)
	}
	enter.EndWith(child.PID)
	return nil
}

// intoOwnCgroup has systemd move a process to where the user may move it on, into a
// container's cgroup: that of a login is root's.
func intoOwnCgroup(pid int) error {
	if group, err := cgroupfs.Of("self"); err != nil || strings.HasPrefix(group, cgroupfs.OwnRoot()+"/") {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	s := &plan.Scope{Name: fmt.Sprintf("unitc-joins-%d.scope", pid), Slice: "app.slice", Description: "unitc in a container"}
	if err := cgroupsd.StartScope(ctx, s, pid); err != nil {
		return err
	}
	dir, err := cgroupsd.AwaitScope(ctx, s, pid, 0)
	var stays *cgroupsd.NotMovedError
	if errors.As(err, &stays) {
		// The cgroup of a login is the system's: systemd asks it over the bus.
		return fmt.Errorf("%w; it asks the system's over the system bus: is that there? (as root: systemctl start dbus.socket) What the user's systemd starts needs no move: `systemd-run --user --pipe --wait` in front of the command", err)
	}
	if err != nil {
		return err
	}
	return dir.Close()
}

// otherPlaces tells of directories that are others for the user's systemd: what is written
// here it would never find.
func otherPlaces() (what, cure string) {
	u := realm.Own()
	if u == nil {
		return "", ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	m, err := cgroupsd.Connect(ctx)
	if err != nil {
		return "", "" // others say so
	}
	defer m.Close()
	env, err := m.Environment(ctx)
	if err != nil {
		return "", ""
	}
	name, here, there := u.Elsewhere(env)
	if name == "" {
		return "", ""
	}
	what = fmt.Sprintf("by %s it is %s here, and for the user's systemd, which starts containers, %s", name, here, there)
	if name == "HOME" {
		return what, "log in as the user"
	}
	return what, fmt.Sprintf("unset %s here, or write it in %s/.config/environment.d/xdg.conf (environment.d(5)) and log in anew", name, u.Home)
}

// ofSystemd are options that have systemctl, and this program, speak to whom this one speaks.
func ofSystemd(args []string) []string {
	if realm.Own() == nil {
		return args
	}
	return append([]string{"--user"}, args...)
}

// isAdministrators tells whether a definition is the caller's to change: packages have
// others, and for a user root has.
func isAdministrators(path string) bool {
	return strings.HasPrefix(path, searchpath.Dirs[0]+"/") || realm.Own() == nil && strings.HasPrefix(path, searchpath.Dirs[1]+"/")
}

// unitOption selects a unit's lines (journalctl(1)).
func unitOption(unit string) string {
	if realm.Own() == nil {
		return "--unit=" + unit
	}
	return "--user-unit=" + unit
}

// nameOwn tells a user who sees none of the system's containers of their own.
func (a *app) nameOwn() error {
	config, err := os.UserConfigDir()
	if os.Geteuid() == 0 || err != nil {
		return nil
	}
	if entries, _ := os.ReadDir(config + "/unitc"); len(entries) > 0 {
		fmt.Fprintln(a.stderr, "these are the system's; `unitc --user ps` lists your own")
	}
	return nil
}
