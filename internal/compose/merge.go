// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"strings"
)

// merging is how a value of a later layer meets the one before it. The rules
// are those of the Compose Specification, "Merge and override".
type merging uint8

const (
	// mergeByKind: mappings merge, lists append, scalars replace.
	mergeByKind merging = iota
	// mergeReplace: half a command is none.
	mergeReplace
	// mergePairs: a list of KEY=value counts as a mapping.
	mergePairs
	// mergeNames: a list of names counts as a mapping without values.
	mergeNames
	// mergeDependencies: as mergeNames, the value being the default condition.
	mergeDependencies
	// mergeAppend: a single string counts as a list, a mapping as KEY=value.
	mergeAppend
	// mergeLogging: options of two drivers have nothing in common.
	mergeLogging
	// mergeSubnets: the later list counts; an entry of the same range adds to the one before.
	mergeSubnets
)

// merge puts a layer's mapping over what the layers before it gave. Values keep
// their places, so that a fault is shown in the file that has it.
func (r *reader) merge(base, over *node, s *shape) {
	var seen index
	for _, p := range over.pairs {
		at, known := seen.find(base.pairs, p.key)
		if !known {
			base.pairs = append(base.pairs, p)
			continue
		}
		r.mergePair(&base.pairs[at], p, s.child(p.key))
	}
}

// child is the shape of a mapping's value, nil if the table has none.
func (s *shape) child(key string) *shape {
	if s == nil {
		return nil
	}
	if s.open != nil {
		return s.open
	}
	if f := findField(s.keys, key); f != nil {
		return f.shape
	}
	return nil
}

func (r *reader) mergePair(at *pair, p pair, s *shape) {
	rule := mergeByKind
	if s != nil {
		rule = s.merge
	}
	switch {
	case at.value.mark == reset:
		// What an extended service has of it stays dropped.
		if p.value.mark == unmarked {
			p.value.mark = override
		}
		*at = p
		return
	case p.value.mark != unmarked, rule == mergeReplace, rule == mergeLogging && otherDriver(at.value, p.value):
		*at = p
		return
	case p.value.kind == null:
		return // Compose: an empty value changes nothing
	}
	base, over := at.value.as(rule), p.value.as(rule)
	switch {
	case base.kind == mapping && over.kind == mapping:
		r.merge(base, over, s)
		at.value = base
	case base.kind == list && over.kind == list && rule == mergeSubnets:
		at.value = r.subnets(base, over, s)
	case base.kind == list && over.kind == list:
		base.items = appendItems(base.items, over.items, s)
		at.value = base
	default:
		*at = p
	}
}

// subnets are as in Compose: a file that writes a network's ranges means these alone.
func (r *reader) subnets(base, over *node, s *shape) *node {
	for i, item := range over.items {
		for _, had := range base.items {
			if subnet := item.get("subnet"); item.kind == mapping && had.kind == mapping && subnet != nil && had.get("subnet").str() == subnet.str() {
				r.merge(had, item, s.item)
				over.items[i] = had
				break
			}
		}
	}
	return over
}

func otherDriver(base, over *node) bool {
	one, other := base.get("driver"), over.get("driver")
	return one != nil && other != nil && one.str() != other.str()
}

// as is the node in the form in which its rule merges it; the node itself if it
// has that form already or can't have it (its shape is wrong then).
func (n *node) as(rule merging) *node {
	switch rule {
	case mergePairs, mergeNames, mergeDependencies:
		return n.asMapping(rule)
	case mergeAppend:
		return n.asList()
	}
	return n
}

func (n *node) asMapping(rule merging) *node {
	if n.kind != list {
		return n
	}
	made := &node{kind: mapping, mark: n.mark, place: n.place}
	var seen index
	for _, item := range n.items {
		if item.kind&(scalar&^null) == 0 {
			return n
		}
		p := pair{key: item.text, place: item.place, value: &node{kind: null, place: item.place, whole: item}}
		switch key, value, given := strings.Cut(item.text, "="); {
		case rule == mergePairs && given:
			p.key, p.value = key, &node{kind: text, text: value, place: item.place}
		case rule == mergeDependencies:
			p.value = defaultDependency(item)
		}
		if at, again := seen.find(made.pairs, p.key); again {
			made.pairs[at] = p
			continue
		}
		made.pairs = append(made.pairs, p)
	}
	return made
}

func defaultDependency(n *node) *node {
	condition := &node{kind: text, text: "service_started", place: n.place}
	return &node{kind: mapping, place: n.place, pairs: []pair{{key: "condition", place: n.place, value: condition}}}
}

func (n *node) asList() *node {
	made := &node{kind: list, mark: n.mark, place: n.place}
	switch n.kind {
	case list, null:
		return n
	case mapping:
		for _, p := range n.pairs {
			if p.value.kind&scalar == 0 {
				return n
			}
			made.items = append(made.items, &node{kind: text, text: p.key + "=" + p.value.str(), place: p.place})
		}
	default:
		made.items = []*node{n}
	}
	return made
}

// appendItems adds the items of a later layer; one that means the same thing as
// an item of the base takes its place.
func appendItems(base, over []*node, s *shape) []*node {
	identity := identifyText
	if s != nil && s.identity != nil {
		identity = s.identity
	}
	at := make(map[string]int, len(base)+len(over))
	for i, item := range base {
		if id := identity(item); id != "" {
			at[id] = i
		}
	}
	for _, item := range over {
		id := identity(item)
		if i, known := at[id]; known && id != "" {
			base[i] = item
			continue
		}
		if id != "" && s != nil {
			at[id] = len(base)
		}
		base = append(base, item)
	}
	return base
}

// identifyText: a scalar is the same as one that reads the same.
func identifyText(n *node) string {
	if n.kind&scalar == 0 {
		return ""
	}
	return n.text
}

// identifyTarget: mounts and devices are the same at the same target.
func identifyTarget(n *node) string {
	target := n.get("target").str()
	if target == "" {
		target = n.get("source").str()
	}
	if n.kind == text {
		parts := strings.SplitN(n.text, ":", 3)
		if target = parts[0]; len(parts) > 1 {
			target = parts[1]
		}
	}
	if target == "" {
		return ""
	}
	return path.Clean(target)
}

// identifyTmpfs: the target stands first.
func identifyTmpfs(n *node) string {
	target, _, _ := strings.Cut(n.text, ":")
	return path.Clean(target)
}

// identifyGrant: a secret or config is the same at the same target. Its name stands for the
// one that it has by itself.
func identifyGrant(n *node) string {
	for _, key := range []string{"target", "source"} {
		if value := n.get(key); value != nil {
			return strings.TrimPrefix(strings.TrimPrefix(path.Clean(value.str()), "/run/secrets/"), "/")
		}
	}
	return n.text
}

// identifyEnvFile: the same file.
func identifyEnvFile(n *node) string {
	if file := n.get("path"); file != nil {
		return file.str()
	}
	return n.text
}

// dropResets removes what !reset marked.
func (r *reader) dropResets(n *node) {
	kept := n.pairs[:0]
	for _, p := range n.pairs {
		if p.value.mark == reset {
			continue
		}
		r.dropResets(p.value)
		kept = append(kept, p)
	}
	n.pairs = kept
	items := n.items[:0]
	for _, item := range n.items {
		if item.mark != reset {
			r.dropResets(item)
			items = append(items, item)
		}
	}
	n.items = items
}
