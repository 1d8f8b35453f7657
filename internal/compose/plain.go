// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxPlain is the size of a file that is read without yaml.v3.
const maxPlain = 64 << 10

// maxPlainDepth is the nesting that is; deeper files go to yaml.v3, which counts.
const maxPlainDepth = 16

// plainReader reads the part of YAML in which nearly all definitions are
// written: keys that are plain words, lists, and scalars that stand on one line,
// in quotes with few escapes or without quotes; `[…]` and `{…}` on one line.
// yaml.v3 takes a third of the generator's time (G-11), most of it for what such
// files have not, so that unitc-generator does not link it. Whatever is not
// plainly of this part, and whatever could be a fault, is left to yaml.v3, which
// alone says what YAML means: FuzzPlain holds the two together.
type plainReader struct {
	text  string
	wide  bool // not all is ASCII
	layer int32
	line  plainLine // the one to be read; start < 0 behind the last
	next  int       // where the line after it begins
	alien bool      // something that is yaml.v3's was met
	*trees
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
	plain, wide := isPlainText(data)
	if len(data) > maxPlain || !plain {
		return nil
	}
	// Nobody changes the bytes of a layer.
	p := plainReader{text: unsafe.String(unsafe.SliceData(data), len(data)), wide: wide, layer: layer, trees: room}
	room.openPairs, room.openItems = room.openPairs[:0], room.openItems[:0]
	p.advance()
	if p.line.start >= 0 && p.text[p.line.begin:p.line.end] == "---" {
		p.advance()
	}
	if p.line.start < 0 || p.line.indent() != 0 || p.startsItem() {
		return nil
	}
	root := p.mapping(0, 0)
	if p.alien || p.line.start >= 0 {
		return nil
	}
	return root
}

// isPlainText: a tab is no indentation, a carriage return and what Unicode has for
// it end a line, a byte order mark is passed over. wide: a column is no count of
// bytes.
func isPlainText(data []byte) (plain, wide bool) {
	for i := 0; i < len(data); i++ {
		c := data[i]
		if c >= utf8.RuneSelf {
			char, size := utf8.DecodeRune(data[i:])
			if size == 1 || char <= '\u00a0' || char == '\u2028' || char == '\u2029' || char == '\ufeff' || char == '\ufffe' || char == '\uffff' {
				return false, true
			}
			i, wide = i+size-1, true
		} else if c != '\n' && (c < ' ' || c > '~') {
			return false, wide
		}
	}
	return true, wide
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
	col := at - p.line.begin
	if p.wide {
		col = utf8.RuneCountInString(p.text[p.line.begin:at])
	}
	return place{layer: p.layer, line: p.line.number, col: int32(col) + 1}
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
	n := p.make(null, p.line.begin)
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
