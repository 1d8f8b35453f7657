// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// maxExtends bounds a chain of services that extend each other.
const maxExtends = 16

// extend replaces each `extends:` by what it names, before anything is checked:
// the service is then one mapping, with the places of both files.
func (r *reader) extend() {
	services := r.services()
	if services == nil {
		r.extendService(r.root, nil, nil)
		return
	}
	for i := range services.pairs {
		r.extendService(services.pairs[i].value, services, []string{services.pairs[i].key})
	}
}

// services is the mapping of a project's services, nil if the definition is one
// service.
func (r *reader) services() *node {
	if services := r.root.get("services"); services != nil && services.kind == mapping {
		return services
	}
	return nil
}

// extendService resolves one service; chain holds the names on the way to it.
func (r *reader) extendService(n, services *node, chain []string) {
	extends := findPair(n, "extends")
	if extends == nil || extends.value.isNull() || extends.value.mark == reset {
		return
	}
	file, name, ok := r.readExtends(extends)
	if !ok {
		return
	}
	if file != "" {
		if services = r.extendsFile(extends, file); services == nil {
			return
		}
		name = strings.TrimSpace(name)
	}
	base := services.get(name)
	step := file + ":" + name
	switch {
	case base == nil || base.kind != mapping:
		r.faultExtends(extends, r.suggestService(services, name), "there is no service "+quote(name)+" to extend")
		return
	case contains(chain, step), file == "" && contains(chain, name):
		r.faultExtends(extends, "remove one of the two", "the service extends itself")
		return
	case len(chain) >= maxExtends:
		r.faultExtends(extends, "extend fewer services", "services extend each other too often")
		return
	}
	if file == "" {
		step = name
	}
	r.extendService(base, services, append(chain[:len(chain):len(chain)], step))
	if left := findPair(base, "extends"); left != nil && left.value.bad {
		extends.value.bad = true // it lacks what that one lacks
		return
	}
	r.mergeBase(n, base)
}

// mergeBase puts a service over the one that it extends.
func (r *reader) mergeBase(n, base *node) {
	merged := r.clone(base)
	own := *n
	own.pairs = make([]pair, 0, len(n.pairs))
	for _, p := range n.pairs {
		if p.key != "extends" {
			own.pairs = append(own.pairs, p)
		}
	}
	r.merge(merged, &own, &serviceShape)
	n.pairs = n.pairs[:0:0]
	for _, p := range merged.pairs {
		if p.key != "extends" {
			n.pairs = append(n.pairs, p)
		}
	}
}

// readExtends reads both forms of the key.
func (r *reader) readExtends(p *pair) (file, name string, ok bool) {
	n := p.value
	if !r.check(n, &extendsShape, &field{name: "extends", example: "{file: base.yaml, service: base}"}) {
		n.bad = true
		return "", "", false
	}
	if name = n.text; n.kind == mapping {
		name = n.get("service").text
	}
	if path := n.get("file"); path != nil {
		file = r.namedPath(path)
		n.bad = file == ""
		return file, name, !n.bad
	}
	if r.services() == nil {
		r.faultExtends(p, "write extends: {file: base.yaml, service: "+name+"}", "a definition of one service has no neighbours to extend")
		return "", "", false
	}
	return "", name, true
}

func (r *reader) faultExtends(p *pair, cure, what string) {
	p.value.bad = true
	r.fault(p.value, cure, "%s", what).Rule = diag.RuleReference
}

func (r *reader) suggestService(services *node, name string) string {
	var names []string
	if services != nil {
		for i := range services.pairs {
			names = append(names, services.pairs[i].key)
		}
	}
	return cureName(name, names)
}

// cureName suggests the name that was meant, or shows those there are.
func cureName(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	const most = 8
	switch {
	case len(names) == 0:
		return "there are none"
	case len(names) > most:
		names = append(names[:most:most], "…")
	}
	return "there is " + strings.Join(names, ", ")
}

// extendedFile is a file that is extended, and the variables that it may use.
type extendedFile struct {
	path string
	*scope
}

// extendsFile reads the services of another file, once.
func (r *reader) extendsFile(p *pair, file string) *node {
	at := extendedFile{file, r.scopes[p.place.layer]}
	if services, known := r.extended[at]; known {
		p.value.bad = services == nil
		return services
	}
	if r.extended == nil {
		r.extended = map[extendedFile]*node{}
	}
	r.extended[at] = nil
	if r.in.Read == nil || len(r.in.Layers) >= maxLayers {
		r.faultExtends(p, "write the keys themselves", "no further file can be read here")
		return nil
	}
	layer, err := r.readNamed(file)
	if err != nil {
		r.faultExtends(p, r.cureNamed(file, "write the path of a compose file"), "reading the extended file: "+err.Error())
		return nil
	}
	r.in.Layers = append(r.in.Layers[:len(r.in.Layers):len(r.in.Layers)], layer)
	index := len(r.in.Layers) - 1
	if at.scope != nil {
		r.setScope(int32(index), at.scope)
	}
	r.readFrom(int32(index), path.Dir(file))
	tree := r.load(index)
	if tree == nil {
		p.value.bad = true
		return nil
	}
	services := tree.get("services")
	if services == nil || services.kind != mapping {
		// A definition of one service is named by its file.
		stem := strings.TrimSuffix(path.Base(file), ".yaml")
		services = &node{kind: mapping, place: tree.place, pairs: []pair{{key: stem, place: tree.place, value: tree}}}
	}
	r.extended[at] = services
	return services
}

// clone copies a tree within the limit on values.
func (r *reader) clone(n *node) *node {
	c := *n
	r.cloned++
	if r.cloned > maxNodes {
		if r.cloned == maxNodes+1 {
			r.faultFile(n.place, "extend fewer services", "the extended services have more than %d values together", maxNodes)
		}
		return &node{kind: null, place: n.place}
	}
	if n.pairs != nil {
		c.pairs = make([]pair, len(n.pairs))
		for i, p := range n.pairs {
			c.pairs[i] = pair{key: p.key, place: p.place, value: r.clone(p.value)}
		}
	}
	if n.items != nil {
		c.items = make([]*node, len(n.items))
		for i, item := range n.items {
			c.items[i] = r.clone(item)
		}
	}
	return &c
}
