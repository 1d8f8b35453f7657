// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"unicode/utf8"
)

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

// quoted reads a string in quotes, with the escapes that people write.
func (p *plainReader) quoted(at int) (*node, int) {
	quote, escapes := p.text[at], false
	for i := at + 1; i < p.line.end; i++ {
		switch c, next := p.text[i], p.at(i+1); {
		case c == '\\' && quote == '"':
			if next == 0 || strings.IndexByte(escaped, next) < 0 {
				return nil, at
			}
			i, escapes = i+1, true
		case c == '\'' && quote == '\'' && next == '\'':
			i, escapes = i+1, true
		case c == quote:
			if next == quote || next == ':' {
				return nil, at
			}
			n := p.make(text, at)
			n.text = p.text[at+1 : i]
			if escapes {
				n.text = unquote(n.text, quote)
			}
			return n, i + 1
		}
	}
	return nil, at
}

// escaped are the characters that are read behind a backslash, and meanings what
// they are then.
const escaped, meanings = `\"nt`, "\\\"\n\t"

func unquote(s string, quote byte) string {
	if quote == '\'' {
		return strings.ReplaceAll(s, "''", "'")
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			i++
			c = meanings[strings.IndexByte(escaped, s[i])]
		}
		b = append(b, c)
	}
	return string(b)
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
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '_', c == '$', c >= utf8.RuneSelf:
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
