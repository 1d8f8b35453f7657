// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strings"

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

// execHelper is a command line of the helper: a user's runs in their own namespace.
func execHelper(helper string, words ...string) string {
	if realm.Own() != nil {
		words = append([]string{"enter"}, words...)
	}
	return unitfile.Exec(helper, words...)
}
