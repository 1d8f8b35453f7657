// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// serviceKeys is every key of a service, sorted. It is filled from the groups of
// keys in the neighbouring files, each of which is sorted by name itself.
var serviceKeys = joinTables(processKeys, imageKeys, buildKeys, fileKeys, resourceKeys, securityKeys, lifeKeys,
	networkKeys, grantKeys, projectKeys, deployKeys, laterKeys)

// ownExtensions are keys of unitc that other readers of a compose file pass over.
var ownExtensions = []string{"x-idle-timeout", "x-net-devices", "x-nftables", "x-persist", "x-systemd", "x-time-offsets", "x-update", "x-wait-for"}

var serviceShape = shape{kinds: mapping, keys: serviceKeys}

func joinTables(tables ...[]field) []field {
	count := 0
	for _, t := range tables {
		count += len(t)
	}
	rows := make([]*field, 0, count) // what is moved in sorting is not whole rows
	for _, t := range tables {
		for i := range t {
			rows = append(rows, &t[i])
		}
	}
	slices.SortFunc(rows, func(a, b *field) int { return strings.Compare(a.name, b.name) })
	all := make([]field, len(rows))
	for i, row := range rows {
		all[i] = *row
	}
	return all
}

// decodeService reads one service stanza. What is wrong in it is reported, and
// what is right is kept.
func (r *reader) decodeService(s *definition.Service, name string, at place, n *node) {
	s.Name, s.Key = name, name
	s.Source = definition.Source{File: r.path(place{})}
	if at.layer == 0 {
		s.Source.Line, s.Source.Col = int(at.line), int(at.col)
	}
	s.OwnVariables = r.in.EnvFile
	if scope := r.scopes[at.layer]; scope != nil {
		s.Variables = scope.files
	}
	if n == nil || n.kind != mapping {
		return
	}
	r.service, r.targets = n, nil
	if len(n.pairs) > maxItems {
		r.fault(n, "shorten it", "a service of %d keys; at most %d are allowed", len(n.pairs), maxItems)
		return
	}
	for i := range n.pairs {
		p := &n.pairs[i]
		f := findField(serviceKeys, p.key)
		if f == nil {
			if !strings.HasPrefix(p.key, "x-") {
				r.faultUnknown(n, p, serviceKeys)
			} else {
				r.warnOwn(n, p, serviceKeys)
			}
			continue
		}
		ok := r.checkField(n, p, f)
		if f.decode != nil {
			r.decodeKey(s, p, f, ok)
		}
	}
	r.addFileLabels(s)
	r.checkService(s, n)
	s.Source.Lines = r.lines(n)
}

// decodeKey decodes a value whose shape is right, or the right part of it.
func (r *reader) decodeKey(s *definition.Service, p *pair, f *field, ok bool) {
	switch {
	case ok, f.name == "systemd", f.name == "x-systemd":
		f.decode(r, s, p.value)
	case f.refused == "" && hasParts(p.value, f.shape):
		f.decode(r, s, p.value.good())
	}
}

// hasParts tells whether a value of a wrong shape can be decoded without its
// bad parts: nothing that a decoder relies on is among them.
func hasParts(n *node, s *shape) bool {
	if n.kind&s.kinds == 0 || n.kind&scalar != 0 || len(n.items) > maxItems || len(n.pairs) > maxItems {
		return false
	}
	if n.kind == mapping && s.open == nil {
		for i := range s.keys {
			if value := n.get(s.keys[i].name); s.keys[i].required && (value == nil || value.bad) {
				return false
			}
		}
	}
	return true
}

// lines records where keys stand, and the items of lists: enough to map a later
// fault back, and little enough to be written beside every unit.
func (r *reader) lines(n *node) definition.Lines {
	count := len(n.pairs)
	for i := range n.pairs {
		count += len(n.pairs[i].value.items)
	}
	lines := take(&r.memory.lines, count)
	for i := range n.pairs {
		p := &n.pairs[i]
		lines = append(lines, definition.Line{Key: strings.TrimPrefix(p.key, "x-"), Position: r.position(p.place)})
		if p.value.kind != list {
			continue
		}
		for j, item := range p.value.items {
			lines = append(lines, definition.Line{Key: p.key + "[" + itoa(j) + "]", Position: r.position(item.place)})
		}
	}
	return definition.NewLines(lines)
}

// position is a place as the definition package writes it: the file stands
// there only if it is not the definition itself.
func (r *reader) position(at place) definition.Position {
	p := definition.Position{Line: int(at.line), Col: int(at.col)}
	if at.layer != 0 {
		p.File = r.path(at)
	}
	return p
}
