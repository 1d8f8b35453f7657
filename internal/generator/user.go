// SPDX-License-Identifier: Apache-2.0

package generator

import (
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

// execHelper is a command line of the helper: a user's runs in their own namespace.
func execHelper(helper string, words ...string) string {
	if realm.Own() != nil {
		words = append([]string{"enter"}, words...)
	}
	return unitfile.Exec(helper, words...)
}
