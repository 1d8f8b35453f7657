// SPDX-License-Identifier: Apache-2.0

package quickjson

import (
	"bytes"
	"errors"
)

var errNoObject = errors.New("JSON: no object, or one that ends too soon")

// Members calls f for each member of an object with its name as it is written
// and its value's bytes, until f gives false. What it passes over is not
// checked but for its end: it is for those who want a few members of thousands
// of objects that this package has written.
func Members(data []byte, f func(name, value []byte) bool) error {
	at := skipSpace(data, 0)
	if at >= len(data) || data[at] != '{' {
		return errNoObject
	}
	for at++; ; {
		at = skipSpace(data, at)
		if at < len(data) && data[at] == '}' {
			return nil
		}
		name := at
		if at = endOfString(data, at); at < 0 {
			return errNoObject
		}
		key := data[name+1 : at-1]
		if at = skipSpace(data, at); at >= len(data) || data[at] != ':' {
			return errNoObject
		}
		at = skipSpace(data, at+1)
		value := at
		if at = endOfValue(data, at); at <= value {
			return errNoObject
		}
		if !f(key, data[value:at]) {
			return nil
		}
		if at = skipSpace(data, at); at < len(data) && data[at] == ',' {
			at++
		}
	}
}

func skipSpace(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// endOfString is behind the closing quote of the string that begins at at; -1 if
// none does.
func endOfString(data []byte, at int) int {
	if at >= len(data) || data[at] != '"' {
		return -1
	}
	for at++; ; at++ {
		n := bytes.IndexByte(data[at:], '"')
		if n < 0 {
			return -1
		}
		at += n
		escapes := 0
		for data[at-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at + 1
		}
	}
}

// endOfValue is behind the value that begins at at; -1 if it does not end.
func endOfValue(data []byte, at int) int {
	depth := 0
	for at < len(data) {
		switch data[at] {
		case '"':
			if at = endOfString(data, at); at < 0 {
				return -1
			}
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return at // of a number or a word
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return -1
}
