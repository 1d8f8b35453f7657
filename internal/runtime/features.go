// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// What this room knows, out of the tables that it works with: an OCI runtime
// tells it to engines.

// Capabilities are the names of capabilities(7) that it knows.
func Capabilities() []string {
	names := make([]string, len(capabilityNames))
	for i, n := range capabilityNames {
		names[i] = "CAP_" + n
	}
	return names
}

// MountOptions are those that are not a file system's own.
func MountOptions() []string {
	list := []string{"bind", "rbind", "idmap", "ridmap", "tmpcopyup"}
	for name := range attributes {
		list = append(list, name)
		if name != "defaults" {
			list = append(list, "r"+name)
		}
	}
	list = slices.AppendSeq(list, maps.Keys(propagation))
	slices.Sort(list)
	return slices.Compact(list)
}

// Namespaces are the kinds that can be made or joined.
func Namespaces() []string {
	list := []string{string(specs.UserNamespace)}
	for _, n := range slices.Concat(namespaceFlag, joinedLater) {
		list = append(list, string(n.kind))
	}
	slices.Sort(list)
	return list
}

// MemoryPolicies are the modes and flags of set_mempolicy(2).
func MemoryPolicies() (modes, flags []string) {
	for m := range memoryModes {
		modes = append(modes, string(m))
	}
	for f := range memoryFlags {
		flags = append(flags, string(f))
	}
	slices.Sort(modes)
	slices.Sort(flags)
	return modes, flags
}
