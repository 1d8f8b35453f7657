// SPDX-License-Identifier: Apache-2.0

package compose

// merge puts a drop-in over what the layers before it gave, by Compose's rules:
// mappings merge, lists append, scalars replace.
func (r *reader) merge(base, over *node) {
	for _, p := range over.pairs {
		at := findPair(base, p.key)
		switch {
		case at == nil:
			base.pairs = append(base.pairs, p)
		case p.value.mark != unmarked || at.value.kind != p.value.kind:
			*at = p
		case p.value.kind == mapping:
			r.merge(at.value, p.value)
		case p.value.kind == list && !replaces(p.key):
			at.value.items = append(at.value.items, p.value.items...)
		default:
			*at = p
		}
	}
}

// replaces names the lists that are one value: half of a command is none.
func replaces(key string) bool {
	return key == "command" || key == "entrypoint" || key == "test"
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
