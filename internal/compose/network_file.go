// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

func (r *reader) isNetwork() bool { return strings.HasSuffix(r.in.Name, definition.NetworkFile) }

// decodeNetworkFile reads a network that is no project's. Its name is the
// file's, so that a container's `networks: [front]` finds it.
func (r *reader) decodeNetworkFile(file *definition.File) {
	name := strings.TrimSuffix(r.in.Name, definition.NetworkFile)
	if !isPlainName(name) || strings.ContainsRune(name, '%') {
		r.faultFile(place{}, "rename the file to letters, digits, _ . and -", "%s is no name of a network", quote(name))
		return
	}
	for i := range r.root.pairs {
		p := &r.root.pairs[i]
		f := findField(networkShape.keys, p.key)
		switch {
		case strings.HasPrefix(p.key, "x-"):
		case f == nil:
			r.faultUnknown(r.root, p, networkShape.keys)
		case p.key == "external" || p.key == "name":
			r.faultKey(r.root, p, "remove it", "the file makes the network %s", name)
		default:
			r.checkField(r.root, p, f)
		}
	}
	if r.problems.HasErrors() {
		return
	}
	n := r.network(&pair{key: name, place: r.root.place, value: r.root}, r.position(r.root.place))
	n.Name = name
	file.Networks = []definition.Network{n}
}
