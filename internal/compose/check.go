// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// shape is what a value may look like. YAML's kinds are disjoint, so one shape
// holds a short form and a long form side by side. The JSON Schema is made from
// shapes, so whatever a shape refuses an editor refuses too.
type shape struct {
	kinds  kind
	format *format  // of a scalar
	words  []string // the scalar is one of these
	item   *shape   // of a list
	unique bool     // no item of a list twice
	last   bool     // of items of a list that are the same the last counts
	first  []string // a list begins with one of these (its decoder sees to it)
	keys   []field  // of a mapping with known keys
	open   *shape   // the values of a mapping whose keys are free
	name   *format  // the free keys
	min    int      // least length of a list
	// merge and identity say how layers meet (merge.go).
	merge    merging
	identity func(*node) string // what makes two items of a list the same
}

// field is a known key of a mapping: the row from which it is decoded,
// documented and put into the schema.
type field struct {
	name     string
	shape    *shape
	doc      string // one sentence for the man page and the schema
	example  string // a valid value; part of the cure where the shape is wrong
	required bool
	ignored  string // why it changes nothing here
	refused  string // why it never will be, and what to write instead
	decode   func(*reader, *definition.Service, *node)
}

// format is a named form of scalars. pattern is the same test as an ECMA-262
// expression, for the schema.
type format struct {
	name    string
	pattern string
	// patternOf makes a pattern that is not worth the time at each start.
	patternOf func() string
	check     func(s string) (what, cure string)
	empty     bool               // an empty string is the same as no value
	number    func(n *node) bool // takes numbers that check refuses
	bounds    *bounds
}

// check reports every way in which a value differs from its shape. key is what
// it is the value of, nil if of none that has an example.
func (r *reader) check(n *node, s *shape, key *field) bool {
	if n.bad || r.full() {
		return false
	}
	if n.kind == null && s.kinds&null == 0 {
		r.fault(n, cureFor(key, "write a value, or remove the key"), "the value is missing").Rule = diag.RuleMissing
		return false
	}
	switch {
	case n.kind == list && s.kinds&list != 0:
		return r.checkList(n, s, key)
	case n.kind == mapping && s.kinds&mapping != 0:
		return r.checkMapping(n, s)
	case n.kind&scalar != 0 && s.kinds&scalar != 0:
		return r.checkScalar(n, s, key)
	}
	r.fault(n, cureFor(key, ""), "%s, where %s is wanted", n.kind, s.kinds&^null).Rule = diag.RuleType
	return false
}

// cureFor shows an example; without one the general advice stands.
func cureFor(key *field, otherwise string) string {
	if key == nil || key.example == "" {
		return otherwise
	}
	return "write for example `" + key.name + ": " + key.example + "`"
}

func (r *reader) checkScalar(n *node, s *shape, key *field) bool {
	if !fits(n, s.kinds) {
		cure := cureFor(key, "")
		if s.kinds&scalar&^null == text {
			cure = "put it in quotes: \"" + shorten(n.text) + "\""
		}
		r.fault(n, cure, "%s is %s, where %s is wanted", quote(n.text), n.kind, s.kinds&^null).Rule = diag.RuleType
		return false
	}
	if n.kind == null {
		return true
	}
	if s.words != nil {
		return r.checkWord(n, s.words)
	}
	if s.format != nil && (s.format.number == nil || !s.format.number(n)) {
		if what, cure := s.format.test(n.text); what != "" {
			if p := r.fault(n, cure, "%s", what); strings.HasPrefix(what, unsupported) {
				p.Rule = diag.RuleUnsupported
			}
			return false
		}
	}
	return true
}

// emptyMeansUnset: in Compose an empty string is no value where only a word can
// stand; variables that are not set give it.
func (s *shape) emptyMeansUnset() bool {
	return s.kinds&(scalar|mapping) == text && s.words != nil || s.format != nil && s.format.empty
}

// unsupported begins what a format says of a value that Compose has and unitc
// will not.
const unsupported = "unitc does not support "

// fits tells whether a scalar is of one of the kinds. As in Compose a string
// may hold a number or a boolean: that is what a filled-in variable gives.
func fits(n *node, kinds kind) bool {
	if n.kind&kinds != 0 {
		return true
	}
	if n.kind == integer && kinds&float != 0 {
		return true
	}
	if n.kind != text {
		return false
	}
	if kinds&boolean != 0 {
		if _, ok := parseBool(n.text); ok {
			return true
		}
	}
	if kinds&integer != 0 {
		if _, ok := parseInt(n.text); ok {
			return true
		}
	}
	if kinds&float != 0 {
		if _, ok := parseFloat(n.text); ok {
			return true
		}
	}
	return false
}

func (r *reader) checkWord(n *node, words []string) bool {
	for _, w := range words {
		if n.text == w {
			return true
		}
	}
	cure := "write " + strings.Join(words, ", ")
	if len(words) > 1 {
		cure = "write " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	}
	if near := nearest(n.text, words); near != "" {
		cure = "did you mean " + near + "?"
	}
	r.fault(n, cure, "%s is unknown here", quote(n.text))
	return false
}

func (r *reader) checkList(n *node, s *shape, key *field) bool {
	if len(n.items) > maxItems {
		r.fault(n, "shorten the list", "a list of %d items; at most %d are allowed", len(n.items), maxItems).Rule = diag.RuleLimit
		return false
	}
	if len(n.items) < s.min {
		r.fault(n, cureFor(key, "add an item, or remove the key"), "the list is empty")
		return false
	}
	ok := true
	for _, item := range n.items {
		if !r.check(item, s.item, nil) {
			item.bad, ok = true, false
		}
	}
	if s.unique && !r.checkUnique(n) {
		ok = false
	}
	if s.last {
		r.dropRepeats(n, s)
	}
	return ok
}

// dropRepeats has the last of items that are the same take the place of the first,
// as Compose does within a file as between files.
func (r *reader) dropRepeats(n *node, s *shape) {
	if len(n.items) < 2 {
		return
	}
	identity := identifyText
	if s.identity != nil {
		identity = s.identity
	}
	at := make(map[string]int, len(n.items))
	kept := n.items[:0]
	for _, item := range n.items {
		id := ""
		if !item.bad {
			id = identity(item)
		}
		i, again := at[id]
		if !again || id == "" {
			at[id] = len(kept)
			kept = append(kept, item)
			continue
		}
		r.report(diag.Warning, item.place, r.pathOf(n), "keep one of the two", "%s stands twice: first at %s; the last one counts", quote(id), r.where(item.place, kept[i].place)).Rule = diag.RuleDuplicate
		kept[i] = item
	}
	n.items = kept
}

// checkUnique reports scalars that stand twice in a list.
func (r *reader) checkUnique(n *node) bool {
	if len(n.items) < 2 {
		return true
	}
	ok := true
	seen := make(map[string]*node, len(n.items))
	for _, item := range n.items {
		if item.kind&scalar == 0 {
			continue
		}
		if first := seen[item.text]; first != nil {
			r.fault(item, "keep one of the two", "%s stands twice: first at %s", quote(item.text), r.where(item.place, first.place)).Rule = diag.RuleDuplicate
			item.bad, ok = true, false
			continue
		}
		seen[item.text] = item
	}
	return ok
}

func (r *reader) checkMapping(n *node, s *shape) bool {
	if len(n.pairs) > maxItems {
		r.fault(n, "shorten it", "a mapping of %d keys; at most %d are allowed", len(n.pairs), maxItems).Rule = diag.RuleLimit
		return false
	}
	ok := true
	for i := range n.pairs {
		p := &n.pairs[i]
		if s.open != nil {
			if !r.checkFree(n, p, s) {
				p.value.bad, ok = true, false
			}
		} else if f := findField(s.keys, p.key); f != nil {
			if !r.checkField(n, p, f) {
				p.value.bad, ok = true, false
			}
		} else if !strings.HasPrefix(p.key, "x-") {
			r.faultUnknown(n, p, s.keys)
			ok = false
		} else {
			r.warnOwn(n, p, s.keys)
		}
	}
	for i := range s.keys {
		if f := &s.keys[i]; f.required && n.get(f.name) == nil {
			r.fault(n, cureFor(f, ""), "the key %s is missing", f.name).Rule = diag.RuleMissing
			ok = false
		}
	}
	return ok
}

func (r *reader) checkFree(n *node, p *pair, s *shape) bool {
	if s.name != nil {
		if what, cure := s.name.test(p.key); what != "" {
			r.faultKey(n, p, cure, "%s", what)
			return false
		}
	}
	return r.check(p.value, s.open, nil)
}

func (r *reader) checkField(n *node, p *pair, f *field) bool {
	if f.refused != "" {
		r.faultKey(n, p, f.refused, "unitc does not support this key").Rule = diag.RuleUnsupported
		return false
	}
	if p.value.kind == text && p.value.text == "" && !f.required && f.shape.emptyMeansUnset() {
		if p.value.unset == "" { // that is told
			r.warn(p.value, cureFor(f, "remove the key"), "the value is empty and changes nothing")
		}
		return true
	}
	return r.check(p.value, f.shape, f)
}

// findField looks a key up; tables are sorted by name (a test holds them to it).
func findField(fields []field, name string) *field {
	low, high := 0, len(fields)
	for low < high {
		middle := (low + high) / 2
		switch strings.Compare(fields[middle].name, name) {
		case 0:
			return &fields[middle]
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil
}
