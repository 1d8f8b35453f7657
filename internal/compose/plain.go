// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"sync"
)

// maxPlain is the size of a file that is read without yaml.v3.
const maxPlain = 64 << 10

// maxPlainDepth is the nesting that is; deeper files go to yaml.v3, which counts.
const maxPlainDepth = 16

// plainReader reads the part of YAML in which nearly all definitions are
// written: ASCII, keys that are plain words, lists, and scalars that stand on
// one line, in quotes without escapes or without quotes; `[…]` and `{…}` on one
// line. yaml.v3 takes a third of the generator's time (G-11), most of it for what
// such files have not. Whatever is not plainly of this part, and whatever could
// be a fault, is left to yaml.v3, which alone says what YAML means: FuzzPlain
// holds the two together.
type plainReader struct {
	text  string
	layer int32
	line  plainLine // the one to be read; start < 0 behind the last
	next  int       // where the line after it begins
	alien bool      // something that is yaml.v3's was met
	*trees
}

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

// plainLine is a line with something on it.
type plainLine struct {
	number     int32
	begin      int // of the line
	start, end int // of what stands on it, without the blanks around it
}

func (l *plainLine) indent() int { return l.start - l.begin }

// readPlain gives the tree of a file, nil if it is yaml.v3's to read.
func readPlain(data []byte, layer int32, room *trees) *node {
	if len(data) > maxPlain || !isPlainText(data) {
		return nil
	}
	p := plainReader{text: string(data), layer: layer, trees: room}
	room.openPairs, room.openItems = room.openPairs[:0], room.openItems[:0]
	p.advance()
	if p.line.start < 0 || p.line.indent() != 0 || p.startsItem() {
		return nil
	}
	root := p.mapping(0, 0)
	if p.alien || p.line.start >= 0 {
		return nil
	}
	return root
}

// isPlainText: with other bytes a column is no count of bytes, a tab is no
// indentation, and a carriage return ends a line.
func isPlainText(data []byte) bool {
	for _, c := range data {
		if c != '\n' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// advance goes to the next line that has more on it than a comment.
func (p *plainReader) advance() {
	for p.next < len(p.text) {
		l := &p.line
		l.begin = p.next
		l.number++
		l.end = len(p.text)
		if length := strings.IndexByte(p.text[p.next:], '\n'); length >= 0 {
			l.end = p.next + length
		}
		p.next = l.end + 1
		for l.start = l.begin; l.start < l.end && p.text[l.start] == ' '; l.start++ {
		}
		for l.end > l.start && p.text[l.end-1] == ' ' {
			l.end--
		}
		if l.start < l.end && p.text[l.start] != '#' {
			return
		}
	}
	p.line.start = -1
}

// leave says that the file is not ours.
func (p *plainReader) leave() *node {
	p.alien = true
	p.line.start = -1
	return nil
}

func (p *plainReader) make(k kind, at int) *node {
	if len(p.nodes) == cap(p.nodes) {
		p.nodes = make([]node, 0, 2*cap(p.nodes)+16)
	}
	p.nodes = append(p.nodes, node{kind: k, place: p.place(at)})
	return &p.nodes[len(p.nodes)-1]
}

func (p *plainReader) place(at int) place {
	return place{layer: p.layer, line: p.line.number, col: int32(at-p.line.begin) + 1}
}

// startsItem tells whether the line is an item of a list.
func (p *plainReader) startsItem() bool {
	l := &p.line
	return p.text[l.start] == '-' && (l.start+1 == l.end || p.text[l.start+1] == ' ')
}

// mapping reads the lines of one indentation as a mapping.
func (p *plainReader) mapping(indent, depth int) *node {
	n, mark := p.make(mapping, p.line.start), len(p.openPairs)
	for p.line.start >= 0 && p.line.indent() == indent && depth < maxPlainDepth && !p.startsItem() {
		key := p.key(p.line.start, p.line.end)
		if key == "" || hasKey(p.openPairs[mark:], key) {
			return p.leave()
		}
		at := p.place(p.line.start)
		value := p.value(p.line.start+len(key), indent, depth)
		if value == nil {
			return p.leave()
		}
		p.openPairs = append(p.openPairs, pair{key: key, place: at, value: value})
	}
	// A line that is indented less belongs to the mapping around this one.
	if p.alien || depth >= maxPlainDepth || p.line.start >= 0 && p.line.indent() >= indent {
		return p.leave()
	}
	n.pairs = p.closePairs(mark)
	return n
}

// maxPlainKeys: more are looked through in another way.
const maxPlainKeys = 64

func hasKey(pairs []pair, key string) bool {
	for i := range pairs {
		if pairs[i].key == key {
			return true
		}
	}
	return len(pairs) >= maxPlainKeys
}

// key gives the plain word that begins at a place and ends in a colon, "" if
// there is none.
func (p *plainReader) key(at, end int) string {
	for i := at; i < end; i++ {
		switch c := p.text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > at && (c == '-' || c == '.' || c == '/'):
		case c == ':' && i > at && i-at < 128 && (i+1 == end || p.text[i+1] == ' ') && !isNullWord(p.text[at:i]):
			return p.text[at:i]
		default:
			return ""
		}
	}
	return ""
}

func isNullWord(s string) bool { return s == "null" || s == "Null" || s == "NULL" }

// value reads what stands behind a key's colon: on the line, or below it.
func (p *plainReader) value(colon, indent, depth int) *node {
	at, nothing := colon+1, p.place(colon+1)
	for at < p.line.end && p.text[at] == ' ' {
		at++
	}
	if at < p.line.end && p.text[at] != '#' {
		return p.inline(at, indent, depth)
	}
	p.advance()
	switch {
	case p.line.start >= 0 && p.startsItem() && p.line.indent() >= indent:
		return p.list(p.line.indent(), depth+1)
	case p.line.start >= 0 && p.line.indent() > indent:
		return p.mapping(p.line.indent(), depth+1)
	}
	n := p.make(null, colon)
	n.place = nothing
	return n
}

// inline reads a value that ends with its line, to which nothing below belongs.
func (p *plainReader) inline(at, indent, depth int) *node {
	if p.text[at] == '|' {
		return p.literal(at, indent)
	}
	n, end := p.flow(at, false, depth+1)
	for end < p.line.end && p.text[end] == ' ' {
		end++
	}
	if n == nil || end < p.line.end && (p.text[end] != '#' || p.text[end-1] != ' ') {
		return nil
	}
	return p.end(n, indent)
}

// literal reads the lines below a "|", as they stand.
func (p *plainReader) literal(at, indent int) *node {
	style, n := p.text[at:p.line.end], p.make(text, at)
	margin, empty := 0, 0 // empty are lines that are in the text, or behind it
	var b strings.Builder
	for p.next < len(p.text) {
		line, _, ended := strings.Cut(p.text[p.next:], "\n")
		inner := len(line) - len(strings.TrimLeft(line, " "))
		if margin == 0 {
			margin = inner
		}
		switch {
		case !ended || margin <= indent || line != "" && inner == len(line):
			return nil
		case line == "":
			empty++
		case inner < margin && line[inner] == '#':
			return nil
		case inner >= margin:
			b.WriteString(strings.Repeat("\n", empty) + line[margin:] + "\n")
			empty = 0
		}
		if line != "" && inner < margin {
			break
		}
		p.next += len(line) + 1
		p.line.number++
	}
	n.text = b.String()
	switch {
	case n.text == "" || style != "|" && style != "|-":
		return nil
	case style == "|-":
		n.text = strings.TrimSuffix(n.text, "\n")
	}
	return p.end(n, indent)
}

// end goes on to the next line, which must not belong to the value before it.
func (p *plainReader) end(n *node, indent int) *node {
	p.advance()
	if p.line.start >= 0 && p.line.indent() > indent {
		return nil
	}
	return n
}

// list reads the lines of one indentation as a list.
func (p *plainReader) list(indent, depth int) *node {
	n, mark := p.make(list, p.line.start), len(p.openItems)
	for p.line.start >= 0 && p.line.indent() == indent && depth < maxPlainDepth && p.startsItem() {
		at := p.line.start + 1
		for at < p.line.end && p.text[at] == ' ' {
			at++
		}
		var item *node
		if at < p.line.end && p.key(at, p.line.end) != "" {
			// `- key: value`: the mapping's lines begin where its first key does.
			p.line.start = at
			item = p.mapping(p.line.indent(), depth+1)
		} else if at < p.line.end && p.text[at] != '#' {
			item = p.inline(at, indent, depth)
		}
		if item == nil {
			return p.leave()
		}
		p.openItems = append(p.openItems, item)
	}
	// A list may stand at the indentation of its key, whose mapping goes on.
	if p.alien || depth >= maxPlainDepth || p.line.start >= 0 && p.line.indent() > indent {
		return p.leave()
	}
	n.items = p.closeItems(mark)
	return n
}

// flow reads one value on the line and gives its end; within is true in
// brackets. nil: it is yaml.v3's.
func (p *plainReader) flow(at int, within bool, depth int) (*node, int) {
	switch c := p.text[at]; {
	case depth >= maxPlainDepth:
		return nil, at
	case c == '[':
		return p.flowList(at, depth)
	case c == '{':
		return p.flowMapping(at, depth)
	case c == '"' || c == '\'':
		return p.quoted(at)
	}
	return p.plain(at, within)
}

func (p *plainReader) flowList(at, depth int) (*node, int) {
	n, mark := p.make(list, at), len(p.openItems)
	for at = p.skip(at + 1); p.at(at) != ']'; {
		item, end := p.element(at, depth)
		if item == nil {
			return nil, at
		}
		p.openItems = append(p.openItems, item)
		if at = p.skip(end); p.at(at) == ',' {
			if at = p.skip(at + 1); p.at(at) == ']' {
				return nil, at
			}
		} else if p.at(at) != ']' {
			return nil, at
		}
	}
	n.items = p.closeItems(mark)
	return n, at + 1
}

func (p *plainReader) flowMapping(at, depth int) (*node, int) {
	n, mark := p.make(mapping, at), len(p.openPairs)
	for at = p.skip(at + 1); p.at(at) != '}'; {
		key := p.key(at, p.line.end)
		if key == "" || hasKey(p.openPairs[mark:], key) {
			return nil, at
		}
		value, end := p.element(p.skip(at+len(key)+1), depth)
		if value == nil {
			return nil, at
		}
		p.openPairs = append(p.openPairs, pair{key: key, place: p.place(at), value: value})
		if at = p.skip(end); p.at(at) == ',' {
			if at = p.skip(at + 1); p.at(at) == '}' {
				return nil, at
			}
		} else if p.at(at) != '}' {
			return nil, at
		}
	}
	n.pairs = p.closePairs(mark)
	return n, at + 1
}

// element is a value in brackets.
func (p *plainReader) element(at, depth int) (*node, int) {
	if p.at(at) == 0 {
		return nil, at
	}
	return p.flow(at, true, depth+1)
}

// at gives a byte of the line, 0 behind its end.
func (p *plainReader) at(i int) byte {
	if i >= p.line.end {
		return 0
	}
	return p.text[i]
}

func (p *plainReader) skip(at int) int {
	for p.at(at) == ' ' {
		at++
	}
	return at
}

// quoted reads a string in quotes that has no escape.
func (p *plainReader) quoted(at int) (*node, int) {
	quote := p.text[at]
	for i := at + 1; i < p.line.end; i++ {
		switch p.text[i] {
		case '\\':
			if quote == '"' {
				return nil, at
			}
		case quote:
			if next := p.at(i + 1); next == quote || next == ':' {
				return nil, at
			}
			n := p.make(text, at)
			n.text = p.text[at+1 : i]
			return n, i + 1
		}
	}
	return nil, at
}

// plain reads a scalar without quotes.
func (p *plainReader) plain(at int, within bool) (*node, int) {
	if !beginsPlain(p.text[at], p.at(at+1)) {
		return nil, at
	}
	end := at
	for ; end < p.line.end; end++ {
		c, next := p.text[end], p.at(end+1)
		if c == '#' && p.text[end-1] == ' ' || within && (c == ',' || c == ']' || c == '}') {
			break
		}
		if c == ':' && (next == 0 || next == ' ' || within && strings.IndexByte(",[]{}", next) >= 0) || within && (c == '[' || c == '{' || c == '?') {
			return nil, at
		}
	}
	value := strings.TrimRight(p.text[at:end], " ")
	k := kindOfPlain(value)
	if k == 0 {
		return nil, at
	}
	n := p.make(k, at)
	if k != null {
		n.text = value
	}
	return n, at + len(value)
}

// beginsPlain: the other characters mean something to YAML, or might.
func beginsPlain(c, next byte) bool {
	switch {
	case c == '-' || c == '.':
		return next > ' ' && strings.IndexByte(",[]{}", next) < 0
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '_', c == '$':
		return true
	}
	return false
}

// kindOfPlain is what yaml.v3 takes a scalar without quotes for; 0 if that is to
// be asked of itself.
func kindOfPlain(s string) kind {
	switch s[0] {
	case 't', 'T', 'f', 'F', 'n', 'N':
		switch s {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			return boolean
		case "null", "Null", "NULL":
			return null
		}
	case '.':
		if s[1] != '/' && s[1] != '.' {
			return 0 // .5, .inf
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return kindOfNumber(s)
	}
	return text
}

// kindOfNumber: what has a letter that no notation of a number has, or begins
// with one, is none (a date is a string to us).
func kindOfNumber(s string) kind {
	if c := s[0]; c == '-' && s[1] > '9' && s[1] != '_' {
		return text
	}
	points, exponent, signs, others := 0, false, 0, len(s) > 18
	negative := s[0] == '-'
	if negative {
		s = s[1:]
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c == '.':
			points++
		case c == '-' || c == '+':
			signs++
			others = others || i == 0 || negative
		case strings.IndexByte("abcdefABCDEFxXoO_", c) >= 0:
			exponent = exponent || c == 'e' || c == 'E'
			others = true
		default:
			return text
		}
	}
	switch {
	case signs > 0 && !exponent && !negative, points > 1 && !negative:
		return text // a range, an address
	case others || signs > 0 || points > 1 || s[0] == '.' || s[len(s)-1] == '.':
		return 0
	case points == 1:
		return float
	case s[0] != '0' || len(s) == 1:
		return integer
	}
	return 0
}
