// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// value is a member's: of a string the text, of all else the JSON as it stands.
type value struct {
	s    string
	text bool
}

// maxDepth bounds what is nested in a line.
const maxDepth = 64

// object reads one JSON object, the whole line, and gives each member to take,
// in order. false: the line is something else, and what was taken is to be
// forgotten. It keeps to RFC 8259 but for numbers, which nobody counts with here.
func object(line []byte, take func(key string, v value) bool) bool {
	p := parser{b: line}
	p.space()
	if !p.eat('{') {
		return false
	}
	p.space()
	if p.eat('}') {
		p.space()
		return p.i == len(line)
	}
	for {
		p.space()
		key, ok := p.str()
		p.space()
		if !ok || !p.eat(':') {
			return false
		}
		p.space()
		v, ok := p.value()
		if !ok || !take(key, v) {
			return false
		}
		p.space()
		switch {
		case p.eat(','):
		case p.eat('}'):
			p.space()
			return p.i == len(line)
		default:
			return false
		}
	}
}

type parser struct {
	b []byte
	i int
}

func (p *parser) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

func (p *parser) eat(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\t' || p.b[p.i] == '\r' || p.b[p.i] == '\n') {
		p.i++
	}
}

func (p *parser) value() (value, bool) {
	if p.peek() == '"' {
		s, ok := p.str()
		return value{s, true}, ok
	}
	start := p.i
	ok := p.skip(0)
	return value{string(p.b[start:p.i]), false}, ok
}

// skip passes over any value.
func (p *parser) skip(depth int) bool {
	switch c := p.peek(); {
	case depth > maxDepth:
		return false
	case c == '"':
		_, ok := p.str()
		return ok
	case c == '{' || c == '[':
		return p.skipMembers(c, depth)
	}
	start := p.i
	for p.i < len(p.b) && strings.IndexByte("+-.0123456789aelnrstufE", p.b[p.i]) >= 0 {
		p.i++
	}
	switch word := string(p.b[start:p.i]); word {
	case "true", "false", "null":
		return true
	default:
		return isNumber(word)
	}
}

func (p *parser) skipMembers(open byte, depth int) bool {
	end := byte('}')
	if open == '[' {
		end = ']'
	}
	p.i++
	p.space()
	if p.eat(end) {
		return true
	}
	for {
		p.space()
		if open == '{' {
			if _, ok := p.str(); !ok {
				return false
			}
			p.space()
			if !p.eat(':') {
				return false
			}
			p.space()
		}
		if !p.skip(depth + 1) {
			return false
		}
		p.space()
		if p.eat(end) {
			return true
		}
		if !p.eat(',') {
			return false
		}
	}
}

// isNumber knows JSON's form, without a leading plus or needless zeros.
func isNumber(s string) bool {
	digits := func() bool {
		n := len(s)
		s = strings.TrimLeft(s, "0123456789")
		return len(s) < n
	}
	s = strings.TrimPrefix(s, "-")
	if after, zero := strings.CutPrefix(s, "0"); zero {
		s = after
	} else if !digits() {
		return false
	}
	if after, point := strings.CutPrefix(s, "."); point {
		if s = after; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// str reads a string; most have no escapes.
func (p *parser) str() (string, bool) {
	if !p.eat('"') {
		return "", false
	}
	start := p.i
	var out []byte
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			s := p.b[start:p.i]
			p.i++
			if out != nil {
				s = append(out, s...)
			}
			if !utf8.Valid(s) {
				return string([]rune(string(s))), true // a U+FFFD for each bad byte
			}
			return string(s), true
		case c < ' ':
			return "", false
		case c == '\\':
			out = append(out, p.b[start:p.i]...)
			if out == nil {
				out = []byte{}
			}
			r, ok := p.escape()
			if !ok {
				return "", false
			}
			out = utf8.AppendRune(out, r)
			start = p.i
		default:
			p.i++
		}
	}
	return "", false
}

// escape reads what begins with a backslash.
func (p *parser) escape() (rune, bool) {
	if p.i+1 >= len(p.b) {
		return 0, false
	}
	c := p.b[p.i+1]
	p.i += 2
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), true
	}
	if c != 'u' {
		return 0, false
	}
	r, ok := p.hex()
	if ok && utf16.IsSurrogate(r) {
		if p.i+1 < len(p.b) && p.b[p.i] == '\\' && p.b[p.i+1] == 'u' {
			at := p.i
			p.i += 2
			low, ok := p.hex()
			if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
				return pair, true
			}
			p.i = at
		}
		return utf8.RuneError, true
	}
	return r, ok
}

func (p *parser) hex() (rune, bool) {
	if p.i+4 > len(p.b) {
		return 0, false
	}
	var r rune
	for _, c := range p.b[p.i : p.i+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.i += 4
	return r, true
}
