// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resource"
	"github.com/unitc/unitc/internal/unitfile"
)

// ownDirectives leaves out what a user's systemd can do nothing with: device rules.
func ownDirectives(list []definition.Directive) []definition.Directive {
	if realm.Own() == nil {
		return list
	}
	return resource.WithoutDevices(list)
}

// exec is a command line of the helper that may make networks or take them away: of a
// user's, where these are.
func (t *translation) exec(words ...string) string {
	switch {
	case realm.Own() == nil:
	case t.joinsNetworks():
		words = append([]string{"networks"}, words...)
	case words[0] == "start" && t.service != nil && definition.JoinsContainer(t.service.NetworkMode):
		// Who has power over a network is the user namespace that it was made in.
		_, name, _ := strings.Cut(t.service.NetworkMode, ":")
		words = append([]string{"beside", name}, words...)
	}
	return execHelper(t.helper, words...)
}

// keeperUnit keeps the networks of a user while a container needs any.
const keeperUnit = "unitc-network.service"

// Behind are the units that come behind the end of a user's containers without clean-up.
var Behind = []string{postMortemUnit, sweepUnit, "unitc-sweep-begin.service", "unitc-sweep.service", lastSweepUnit}

// lastSweepUnit sweeps when a user's systemd ends, which waits for no timer.
const lastSweepUnit = "unitc-sweep-last.service"

// lacksSweep tells whether one of these is missing, or masked, in a user's systemd: each
// user may have their own. Containers have clean-up then.
func (n *native) lacksSweep() bool {
	return slices.ContainsFunc(Behind, func(unit string) bool { return n.path(unit) == "" })
}

// ReadsJournal tells whether a user can read what their systemd has told journald, from
// which it is known behind an end why a container has failed. journald gives them a file
// of their own on the disk alone (SplitMode= in journald.conf(5)); in memory there is
// the system's, which some groups may read.
func ReadsJournal(root string) bool {
	id, err := os.ReadFile(root + "/etc/machine-id")
	if err != nil {
		return false
	}
	machine := strings.TrimSpace(string(id))
	for _, path := range []string{
		"/var/log/journal/" + machine + "/user-" + strconv.Itoa(realm.Own().UID) + ".journal",
		"/var/log/journal/" + machine + "/system.journal", "/run/log/journal/" + machine + "/system.journal",
	} {
		if unix.Access(root+path, unix.R_OK) == nil {
			return true
		}
	}
	return false
}

// lastSweep has a user's container stop before what sweeps up at the end.
func (t *translation) lastSweep() {
	if realm.Own() != nil {
		t.w.Set("Wants", lastSweepUnit)
		t.w.Set("After", lastSweepUnit)
	}
}

// execHelper is a command line of the helper: a user's runs in their own namespace.
func execHelper(helper string, words ...string) string {
	if realm.Own() != nil {
		words = append([]string{"enter"}, words...)
	}
	return unitfile.Exec(helper, words...)
}
