// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strconv"
	"strings"
)

// kind is a set of YAML kinds; a node has exactly one of them.
type kind uint8

const (
	null kind = 1 << iota
	boolean
	integer
	float
	text
	list
	mapping
)

const (
	number = integer | float
	scalar = null | boolean | number | text
)

// String names kinds as the messages do.
func (k kind) String() string {
	var words []string
	for _, w := range []struct {
		kind kind
		word string
	}{
		{text, "a string"}, {number, "a number"}, {integer, "a whole number"}, {float, "a number"}, {boolean, "true or false"},
		{list, "a list"}, {mapping, "a mapping"}, {null, "no value"},
	} {
		if k&w.kind == w.kind {
			words = append(words, w.word)
			k &^= w.kind
		}
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// mark is Compose's merge instruction on a value of a drop-in.
type mark uint8

const (
	unmarked mark = iota
	reset         // !reset: the key is removed
	override      // !override: the value replaces instead of merging
)

// place is where a value stands; layer indexes reader.layers.
type place struct {
	layer, line, col int32
}

// node is one YAML value. Aliases are expanded on loading (within limits), so
// that every node has one parent and a fault one place.
type node struct {
	kind  kind
	bad   bool   // the shape is wrong, and that is reported
	unset string // a variable in it that nobody set
	mark  mark
	place place
	text  string  // scalars, as written
	pairs []pair  // mappings, in the order of the file
	items []*node // lists
	whole *node   // of a node that stands in for another: that other
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	place place
	value *node
}

// get returns the value of a key, nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return n.pairs[i].value
		}
	}
	return nil
}

// isNull tells whether there is no value at all.
func (n *node) isNull() bool { return n == nil || n.kind == null }

// str is the scalar's text; null gives "".
func (n *node) str() string {
	if n.isNull() {
		return ""
	}
	return n.text
}

// truth is the value of a scalar that was checked to be a boolean.
func (n *node) truth() bool {
	value, _ := parseBool(n.str())
	return value
}

// int is the value of a scalar that was checked to be a whole number.
func (n *node) int() int64 {
	value, _ := parseInt(n.str())
	return value
}

// parseBool knows Compose's words: YAML 1.1's are still accepted there.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y", "1":
		return true, true
	case "false", "no", "off", "n", "0":
		return false, true
	}
	return false, false
}

// parseInt knows YAML's notations (0o17, 0x1f, 1_000) but not C's octal, which
// YAML 1.2 reads as decimal and which therefore means two things.
func parseInt(s string) (int64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return 0, false
	}
	value, err := strconv.ParseInt(s, 0, 64)
	return value, err == nil
}

// good is the node without the items and values whose shape is wrong, so that
// one fault in a list does not hide the others.
func (n *node) good() *node {
	kept := *n
	kept.whole = n
	kept.items, kept.pairs = nil, nil
	for _, item := range n.items {
		if !item.bad {
			kept.items = append(kept.items, item)
		}
	}
	for _, p := range n.pairs {
		if !p.value.bad {
			kept.pairs = append(kept.pairs, p)
		}
	}
	return &kept
}
