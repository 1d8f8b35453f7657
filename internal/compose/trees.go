// SPDX-License-Identifier: Apache-2.0

package compose

import "sync"

// trees is memory for the trees of one definition, used again for the next: pages
// that nobody has touched are what most of it would cost.
type trees struct {
	nodes []node
	pairs []pair
	items []*node
	// openPairs and openItems are those of mappings and lists whose end is not
	// read yet.
	openPairs []pair
	openItems []*node
}

var sharedTrees = sync.Pool{New: func() any {
	return &trees{nodes: make([]node, 0, 64), pairs: make([]pair, 0, 64), items: make([]*node, 0, 64)}
}}

// maxKeptNodes bounds what is kept after a large file.
const maxKeptNodes = 4096

// release gives the memory back; nothing of the trees may be used any more.
func (t *trees) release() {
	if cap(t.nodes)+cap(t.pairs)+cap(t.items) > 3*maxKeptNodes {
		return
	}
	t.nodes, t.pairs, t.items = t.nodes[:0], t.pairs[:0], t.items[:0]
	t.openPairs, t.openItems = t.openPairs[:0], t.openItems[:0]
	sharedTrees.Put(t)
}

// closePairs gives the pairs of a mapping that began when mark were open.
func (t *trees) closePairs(mark int) []pair {
	open := t.openPairs[mark:]
	t.openPairs = t.openPairs[:mark]
	return settle(&t.pairs, open)
}

func (t *trees) closeItems(mark int) []*node {
	open := t.openItems[mark:]
	t.openItems = t.openItems[:mark]
	return settle(&t.items, open)
}

// settle copies a slice into a room, or into a new one that is larger.
func settle[T any](room *[]T, s []T) []T {
	if cap(*room)-len(*room) < len(s) {
		*room = make([]T, 0, 2*cap(*room)+len(s))
	}
	begin := len(*room)
	*room = append(*room, s...)
	return (*room)[begin:len(*room):len(*room)]
}
