// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/syntax"
)

// readLayers loads every layer and merges them into r.root. A layer that can't
// be read is reported and left out, so that the others are still checked.
func (r *reader) readLayers() {
	if len(r.in.Layers) > maxLayers {
		r.faultFile(place{}, fmt.Sprintf("keep at most %d drop-ins", maxLayers-1), "%d files make this definition", len(r.in.Layers))
		r.in.Layers = r.in.Layers[:maxLayers]
	}
	for i := range len(r.in.Layers) { // include and extends add layers of its own behind these
		n := r.load(i)
		if n == nil {
			continue
		}
		if r.root == nil {
			r.root = n
			continue
		}
		r.merge(r.root, n, r.rootShape())
	}
	if r.root != nil {
		if !r.isNetwork() {
			r.readDirectory()
		}
		r.include(r.root, []string{r.path(place{})})
		r.extend()
		r.dropResets(r.root)
	}
	r.reportLater()
}

// load makes our tree of one layer; nil if the layer has none or can't be read.
func (r *reader) load(index int) *node {
	data, at := r.in.Layers[index].Data, place{layer: int32(index)}
	if !r.checkBytes(data, at) {
		return nil
	}
	l := loader{reader: r, layer: int32(index)}
	if n := readPlain(data, l.layer, r.trees); n != nil {
		l.fillTree(n)
		return n
	}
	return l.loadYAML(data, at)
}

// loadYAML makes our tree of the library's.
func (l *loader) loadYAML(data []byte, at place) *node {
	r := l.reader
	document, ok := r.readYAML(data, at)
	if !ok {
		return nil
	}
	if document == nil || len(document.Content) == 0 || isEmpty(document.Content[0]) {
		// An empty drop-in changes nothing; an empty definition starts nothing.
		if at.layer == 0 {
			least := "write at least `rootfs:` or `image:`"
			if r.isNetwork() {
				least = "write at least `driver: bridge`"
			}
			r.faultFile(at, least, "the file holds no definition").Rule = diag.RuleMissing
		}
		return nil
	}
	if top := document.Content[0]; top.Kind != syntax.Mapping && top.Kind != syntax.Alias {
		at.line, at.col = int32(top.Line), int32(top.Column)
		r.faultFile(at, "write lines of the form `key: value`", "the file is not a mapping").Rule = diag.RuleType
		return nil
	}
	return l.convert(document.Content[0], 0)
}

func isEmpty(n *syntax.Node) bool { return n.Kind == syntax.Scalar && n.Tag == "!!null" }

// checkBytes refuses what must not reach the YAML parser.
func (r *reader) checkBytes(data []byte, at place) bool {
	switch {
	case len(data) > maxLayer:
		r.faultFile(at, fmt.Sprintf("keep it under %d bytes", maxLayer), "the file has %d bytes", len(data)).Rule = diag.RuleLimit
		return false
	case bytes.IndexByte(data, 0) >= 0:
		at.line, at.col = position(data, bytes.IndexByte(data, 0))
		r.faultFile(at, "save the file as UTF-8 text", "a NUL byte stands in the file")
		return false
	case !utf8.Valid(data):
		at.line, at.col = position(data, invalidUTF8(data))
		r.faultFile(at, "save the file as UTF-8 text", "the bytes are not valid UTF-8")
		return false
	case len(data) > maxPunctuation && countPunctuation(data) > maxPunctuation:
		r.faultFile(at, "split it", "the file has more than %d values", maxPunctuation).Rule = diag.RuleLimit
		return false
	}
	return true
}

func countPunctuation(data []byte) int {
	count := 0
	for _, c := range data {
		switch c {
		case ',', '[', '{', ':', '-', '?', '\n':
			count++
		}
	}
	return count
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		char, size := utf8.DecodeRune(data[i:])
		if char == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// position counts lines and characters from 1, as yaml.v3 does.
func position(data []byte, offset int) (line, col int32) {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return int32(bytes.Count(before, []byte{'\n'})) + 1, int32(utf8.RuneCount(before[start:])) + 1
}

// readYAML reads exactly one document.
func (r *reader) readYAML(data []byte, at place) (document *syntax.Node, ok bool) {
	documents, err := r.in.Library.YAML(data, 2)
	var unavailable *syntax.UnavailableError
	switch {
	case errors.As(err, &unavailable):
		r.faultFile(at, unavailable.Cure, "%s", unavailable.What)
		return nil, false
	case err != nil:
		r.faultSyntax(data, at, err)
		return nil, false
	case len(documents) == 0:
		return nil, true
	case len(documents) > 1:
		at.line, at.col = int32(documents[1].Line), int32(documents[1].Column)
		r.faultFile(at, "keep one document in a file", "a second YAML document begins here").Rule = diag.RuleSyntax
	}
	return documents[0], true
}

// loader converts the tree of one layer.
type loader struct {
	*reader
	layer int32
	nodes int
	full  bool           // maxNodes was reached and reported
	open  []*syntax.Node // anchors being expanded
	within
}

// within says where the loader is.
type within struct {
	// unread is set inside x- keys and develop:, whose strings nobody reads:
	// they are filled in where an alias uses them.
	unread bool
	// building is set inside build:, which keeps nothing from running that is there.
	building   bool
	depth      int32 // of keys
	inServices bool  // below services:
}

// convert copies a node of the library, expanding aliases. Beyond the limits it gives
// null nodes, having reported why.
func (l *loader) convert(y *syntax.Node, depth int) *node {
	n := &node{kind: null, place: l.place(y)}
	l.nodes++
	switch {
	case l.full:
		return n
	case l.nodes > maxNodes && !(protection.Off("definition-limits") && l.nodes < 30*maxNodes):
		l.full = true
		l.faultFile(n.place, "repeat less through aliases, or split the file", "the file has more than %d values once its aliases are expanded", maxNodes).Rule = diag.RuleLimit
		return n
	case depth > maxDepth:
		l.faultFile(n.place, "write it flatter", "values are nested more than %d deep", maxDepth).Rule = diag.RuleLimit
		l.full = true
		return n
	}
	switch y.Kind {
	case syntax.Alias:
		return l.convertAlias(y, n, depth)
	case syntax.Mapping:
		n.kind = mapping
		n.mark = l.readMark(y)
		l.convertPairs(n, y, depth)
	case syntax.Sequence:
		n.kind = list
		n.mark = l.readMark(y)
		n.items = make([]*node, 0, len(y.Content))
		for _, item := range y.Content {
			n.items = append(n.items, l.convert(item, depth+1))
		}
	case syntax.Scalar:
		l.convertScalar(n, y)
	}
	return n
}

func (l *loader) place(y *syntax.Node) place {
	return place{layer: l.layer, line: int32(y.Line), col: int32(y.Column)}
}

// convertAlias expands an alias; the copy keeps the places of the anchor's
// values, because that is where they are to be corrected.
func (l *loader) convertAlias(y *syntax.Node, n *node, depth int) *node {
	for _, open := range l.open {
		if open == y.Alias {
			l.faultFile(n.place, "remove the alias", "the alias *%s stands inside its own anchor", shorten(y.Value))
			return n
		}
	}
	l.open = append(l.open, y.Alias)
	n = l.convert(y.Alias, depth+1)
	l.open = l.open[:len(l.open)-1]
	return n
}

// convertPairs reads a mapping, merge keys included; a key of the mapping
// itself wins over a merged one wherever it stands.
func (l *loader) convertPairs(n *node, y *syntax.Node, depth int) {
	n.pairs = make([]pair, 0, len(y.Content)/2)
	seen := index{}
	var merges []*syntax.Node
	for i := 0; i+1 < len(y.Content) && !l.full; i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		for key.Kind == syntax.Alias {
			key = key.Alias
		}
		if key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		p := pair{key: key.Value, place: l.place(y.Content[i])}
		if key.Kind != syntax.Scalar || key.Tag == "!!null" || strings.IndexByte(key.Value, 0) >= 0 {
			l.faultFile(p.place, "write a plain word before the colon", "a key that is no string")
			continue
		}
		if first, again := seen.find(n.pairs, p.key); again {
			l.faultFile(p.place, "keep one of the two", "the key %s stands twice: first at %s", quote(p.key), l.where(p.place, n.pairs[first].place)).Rule = diag.RuleDuplicate
			continue
		}
		outer := l.enter(p.key)
		p.value = l.convert(value, depth+1)
		l.within = outer
		n.pairs = append(n.pairs, p)
	}
	for _, value := range merges {
		l.mergeKey(n, value, depth, &seen)
	}
}

// enter goes into a key's value; the result is what to put back after it.
func (l *loader) enter(key string) (outer within) {
	outer = l.within
	if l.depth++; l.depth == 1 {
		l.inServices = key == "services"
	}
	switch {
	case strings.HasPrefix(key, "x-"):
		l.unread = l.unread || !contains(ownExtensions, key)
	case key == "build" && (l.depth == 1 || l.depth == 3 && l.inServices):
		l.building = true
	case key == "develop":
		l.unread = l.unread || l.depth == 1 || l.depth == 3 && l.inServices
	}
	return outer
}

// mergeKey adds the pairs of `<<: *anchor` or `<<: [*one, *two]`.
func (l *loader) mergeKey(n *node, value *syntax.Node, depth int, seen *index) {
	from := l.convert(value, depth+1)
	sources := []*node{from}
	if from.kind == list {
		sources = from.items
	}
	for _, source := range sources {
		if source.kind != mapping {
			if !l.full {
				l.faultFile(source.place, "write `<<: *anchor` or `<<: [*one, *two]`", "a merge key takes mappings only")
			}
			continue
		}
		for _, p := range source.pairs {
			if _, again := seen.find(n.pairs, p.key); !again {
				n.pairs = append(n.pairs, p)
			}
		}
	}
}

// index finds keys in a growing list of pairs; a hash is made only for the long
// ones, where looking through the list would be quadratic.
type index struct {
	byKey map[string]int
	known int
}

func (x *index) find(pairs []pair, key string) (int, bool) {
	if len(pairs) <= 16 {
		for i := range pairs {
			if pairs[i].key == key {
				return i, true
			}
		}
		return 0, false
	}
	if x.byKey == nil {
		x.byKey = make(map[string]int, 2*len(pairs))
	}
	for ; x.known < len(pairs); x.known++ {
		x.byKey[pairs[x.known].key] = x.known
	}
	i, ok := x.byKey[key]
	return i, ok
}

func (l *loader) convertScalar(n *node, y *syntax.Node) {
	n.text = y.Value
	switch y.Tag {
	case "!!str", "!!merge", "!!timestamp":
		n.kind = text
	case "!!int":
		n.kind = integer
	case "!!float":
		n.kind = float
	case "!!bool":
		n.kind = boolean
	case "!!null":
		n.kind, n.text = null, ""
	default:
		n.kind = text
		if n.mark = l.readMark(y); n.text == "" && !y.Quoted {
			n.kind = null
		}
	}
	switch {
	case len(n.text) > maxScalar:
		l.faultFile(n.place, fmt.Sprintf("keep it under %d bytes", maxScalar), "a string of %d bytes", len(n.text)).Rule = diag.RuleLimit
		n.text = n.text[:0]
	case strings.IndexByte(n.text, 0) >= 0:
		l.faultFile(n.place, "remove the \\0", "a NUL character stands in a string")
		n.text = strings.ReplaceAll(n.text, "\x00", "")
	}
	l.fillIn(n)
}

// readMark reads Compose's tags; YAML's own (!!str …) say nothing new here.
func (l *loader) readMark(y *syntax.Node) mark {
	switch y.Tag {
	case "!reset":
		return reset
	case "!override":
		return override
	case "!!map", "!!seq", "":
		return unmarked
	}
	l.faultFile(l.place(y), "remove it; Compose has !reset and !override", "the tag %s is unknown", shorten(y.Tag))
	return unmarked
}
