// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
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
	p := &pair{key: name, place: r.root.place, value: r.root}
	n := r.network(p, r.position(r.root.place))
	if r.checkNetwork(p, &n); r.problems.HasErrors() {
		return
	}
	n.Name = name
	file.Networks = []definition.Network{n}
}

// checkNetwork reports what no start could make a network of, each at its own place.
func (r *reader) checkNetwork(p *pair, n *definition.Network) {
	if n.External {
		return
	}
	if options := p.value.get("ipam").get("options"); options != nil && len(options.pairs) > 0 {
		r.warn(options, "remove it", "it changes nothing: unitc gives out addresses itself")
	}
	for _, f := range n.Faults() {
		rule := diag.RuleConflict
		if f.Unknown {
			rule = diag.RuleUnsupported
		}
		if at := faultyNode(p.value, f.Key); at != nil {
			r.fault(at, f.Cure, "%s", f.What).Rule = rule
		} else {
			r.report(diag.Error, p.place, r.pathOf(p.value), f.Cure, "%s", f.What).Rule = diag.RuleConflict
		}
	}
}

// faultyNode finds the value of a key below a network; nil where it is not written.
func faultyNode(n *node, key string) *node {
	if option, ok := strings.CutPrefix(key, "driver_opts."); ok {
		return n.get("driver_opts").get(option)
	}
	if rest, ok := strings.CutPrefix(key, "ipam.config["); ok {
		number, sub, _ := strings.Cut(rest, "].")
		config := n.get("ipam").get("config")
		if i, err := strconv.Atoi(number); err == nil && config != nil && i < len(config.items) {
			return config.items[i].get(sub)
		}
		return nil
	}
	return n.get(key)
}

// reserve notes at each network which of its addresses services have for themselves.
func reserve(file *definition.File) {
	for i := range file.Services {
		for _, a := range file.Services[i].Networks {
			for j := range file.Networks {
				if n := &file.Networks[j]; n.Name == a.Network && !n.External {
					n.Reserved = addWritten(n.Reserved, a.IPv4, a.IPv6)
				}
			}
		}
	}
}

func addWritten(list []string, addresses ...string) []string {
	for _, a := range addresses {
		if a != "" && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
