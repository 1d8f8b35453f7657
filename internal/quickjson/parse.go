// SPDX-License-Identifier: Apache-2.0

package quickjson

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting, in values: our files have a dozen.
const maxDepth = 200

// Parse reads data into what v points to. Members that v has no place for are
// passed over, as by encoding/json; errors name the byte.
func Parse(data []byte, v any) error { return parse(data, v, false) }

// ParseKnown is Parse for files of others: a member that v has no place for is
// an error, so that the caller can ask encoding/json, which knows more spellings.
func ParseKnown(data []byte, v any) error { return parse(data, v, true) }

func parse(data []byte, v any, known bool) error {
	p := &parser{data: data, known: known}
	err := p.value(reflect.ValueOf(v).Elem())
	if err == nil {
		if p.space(); p.at < len(data) {
			err = errors.New("more after the end of the value")
		}
	}
	if err != nil {
		return fmt.Errorf("JSON, byte %d: %w", p.at, err)
	}
	return nil
}

type parser struct {
	data  []byte
	at    int
	depth int
	known bool // members must be
}

// formParser is given its value's bytes, which are JSON.
type formParser interface{ ParseForm(data []byte) error }

type textUnmarshaler interface{ UnmarshalText([]byte) error }

func (p *parser) space() {
	for p.at < len(p.data) && (p.data[p.at] == ' ' || p.data[p.at] == '\n' || p.data[p.at] == '\t' || p.data[p.at] == '\r') {
		p.at++
	}
}

// peek is the first byte of what comes next; 0 = the end.
func (p *parser) peek() byte {
	p.space()
	if p.at >= len(p.data) {
		return 0
	}
	return p.data[p.at]
}

// word takes null, true and false.
func (p *parser) word(w string) bool {
	if len(p.data)-p.at < len(w) || string(p.data[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) value(v reflect.Value) error {
	if p.depth++; p.depth > maxDepth {
		return errors.New("nested too deeply")
	}
	defer func() { p.depth-- }()
	c := p.peek()
	if c == 'n' && p.word("null") {
		if k := v.Kind(); k == reflect.Pointer || k == reflect.Slice || k == reflect.Map || k == reflect.Interface {
			v.SetZero()
		}
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return p.value(v.Elem())
	}
	if c == '"' && v.Kind() != reflect.String && v.CanAddr() {
		if own, ok := v.Addr().Interface().(textUnmarshaler); ok {
			text, err := p.text()
			if err != nil {
				return err
			}
			return own.UnmarshalText([]byte(text))
		}
	}
	if v.Kind() == reflect.Struct && v.CanAddr() && v.Type().NumMethod() > 0 {
		if own, ok := v.Addr().Interface().(formParser); ok {
			begin := p.at
			if err := p.skip(); err != nil {
				return err
			}
			return own.ParseForm(p.data[begin:p.at])
		}
	}
	switch {
	case c == '"' && v.Kind() == reflect.String:
		text, err := p.text()
		v.SetString(text)
		return err
	case c == '{' && v.Kind() == reflect.Struct:
		return p.object(v)
	case c == '{' && v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return p.mapping(v)
	case c == '[' && v.Kind() == reflect.Slice:
		return p.list(v)
	case v.Kind() == reflect.Bool && p.word("true"):
		v.SetBool(true)
		return nil
	case v.Kind() == reflect.Bool && p.word("false"):
		v.SetBool(false)
		return nil
	case c == '-' || c >= '0' && c <= '9':
		return p.number(v)
	case c == 0:
		return errors.New("the file ends within a value")
	}
	return fmt.Errorf("%q where a value of type %v belongs", c, v.Type())
}

func (p *parser) number(v reflect.Value) error {
	start := p.at
	for p.at < len(p.data) && (p.data[p.at] >= '0' && p.data[p.at] <= '9' || p.data[p.at] == '-' || p.data[p.at] == '+' || p.data[p.at] == '.' || p.data[p.at]|32 == 'e') {
		p.at++
	}
	text := string(p.data[start:p.at])
	if digits := strings.TrimPrefix(text, "-"); len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return fmt.Errorf("the number %s begins with 0", text)
	}
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, 64)
		v.SetFloat(n)
		return err
	}
	return fmt.Errorf("the number %s where a value of type %v belongs", text, v.Type())
}

// each runs one for every element up to the closing bracket.
func (p *parser) each(closing byte, one func() error) error {
	p.at++
	if p.peek() == closing {
		p.at++
		return nil
	}
	for {
		if err := one(); err != nil {
			return err
		}
		switch c := p.peek(); c {
		case closing:
			p.at++
			return nil
		case ',':
			p.at++
		default:
			return fmt.Errorf("%q where a comma or %q belongs", c, closing)
		}
	}
}

// key takes a member's name and its colon.
func (p *parser) key() (string, error) {
	if c := p.peek(); c != '"' {
		return "", fmt.Errorf("%q where a member's name belongs", c)
	}
	name, err := p.text()
	if err != nil {
		return "", err
	}
	if c := p.peek(); c != ':' {
		return "", fmt.Errorf("%q where a colon belongs", c)
	}
	p.at++
	return name, nil
}

func (p *parser) object(v reflect.Value) error {
	members := formOf(v.Type()).members
	next := 0 // our files have members in the order of fields
	return p.each('}', func() error {
		name, err := p.key()
		if err != nil {
			return err
		}
		for range members {
			m := &members[next]
			if next++; next == len(members) {
				next = 0
			}
			if m.name == name {
				return p.value(m.value(v))
			}
		}
		if p.known {
			return fmt.Errorf("unknown member %q", name)
		}
		return p.skip()
	})
}

func (p *parser) mapping(v reflect.Value) error {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	return p.each('}', func() error {
		name, err := p.key()
		if err != nil {
			return err
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if err := p.value(element); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), element)
		return nil
	})
}

func (p *parser) list(v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	return p.each(']', func() error {
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		return p.value(v.Index(v.Len() - 1))
	})
}

// skip passes over a value of any form.
func (p *parser) skip() error {
	if p.depth++; p.depth > maxDepth {
		return errors.New("nested too deeply")
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case c == '"':
		_, err := p.text()
		return err
	case c == '{':
		return p.each('}', func() error {
			if _, err := p.key(); err != nil {
				return err
			}
			return p.skip()
		})
	case c == '[':
		return p.each(']', p.skip)
	case p.word("null"), p.word("true"), p.word("false"):
		return nil
	case c == '-' || c >= '0' && c <= '9':
		var f float64
		return p.number(reflect.ValueOf(&f).Elem())
	default:
		return fmt.Errorf("%q where a value belongs", c)
	}
}

// text takes a string.
func (p *parser) text() (string, error) {
	p.at++
	for i := p.at; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			text := string(p.data[p.at:i])
			p.at = i + 1
			return text, nil
		case c == '\\' || c >= utf8.RuneSelf || c < ' ':
			return p.escaped()
		}
	}
	return "", errors.New("the file ends within a string")
}

// escaped takes a string that is not plain ASCII. Bytes that are no UTF-8
// become U+FFFD.
func (p *parser) escaped() (string, error) {
	var b []byte
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			return string(b), nil
		case c < ' ':
			return "", fmt.Errorf("control character %#x in a string", c)
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		default:
			r, size := utf8.DecodeRune(p.data[p.at:])
			b = utf8.AppendRune(b, r)
			p.at += size
		}
	}
	return "", errors.New("the file ends within a string")
}

func (p *parser) escape() (rune, error) {
	if p.at+1 >= len(p.data) {
		return 0, errors.New("the file ends within a string")
	}
	c := p.data[p.at+1]
	p.at += 2
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := p.hex()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		before := p.at
		if p.word(`\u`) {
			if low, err := p.hex(); err == nil {
				if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
					return full, nil
				}
			}
		}
		p.at = before
		return utf8.RuneError, nil
	}
	return 0, fmt.Errorf("unknown escape \\%c", c)
}

func (p *parser) hex() (rune, error) {
	if p.at+4 > len(p.data) {
		return 0, errors.New("the file ends within a string")
	}
	n, err := strconv.ParseUint(string(p.data[p.at:p.at+4]), 16, 16)
	if err != nil {
		return 0, fmt.Errorf("\\u%s: no hexadecimal number", p.data[p.at:p.at+4])
	}
	p.at += 4
	return rune(n), nil
}
