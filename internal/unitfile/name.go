// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"fmt"
	"strings"
)

// nameMax is UNIT_NAME_MAX of systemd (basic/unit-def.h) without the NUL.
const nameMax = 255

// Kind is the form of a unit name.
type Kind int

const (
	// Invalid is no unit name.
	Invalid Kind = iota
	// Plain is "web.service".
	Plain
	// Template is "worker@.service".
	Template
	// Instance is "worker@1.service".
	Instance
)

// unitTypes in the order of systemd.unit(5).
var unitTypes = []string{"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"}

// NameKind gives the form of a unit name, by the rules of unit_name_is_valid()
// in systemd's basic/unit-name.c.
func NameKind(name string) Kind {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || len(name) > nameMax || !isUnitType(name[dot+1:]) {
		return Invalid
	}
	at := -1
	for i := range dot {
		if name[i] == '@' && at < 0 {
			at = i
		} else if name[i] != '@' && !isNameChar(name[i]) {
			return Invalid
		}
	}
	switch at {
	case -1:
		return Plain
	case 0:
		return Invalid
	case dot - 1:
		return Template
	}
	return Instance
}

// Type is the part after the last dot.
func Type(name string) string {
	return name[strings.LastIndexByte(name, '.')+1:]
}

// FullName is what systemctl(1) takes a name for: one without a type is a service's.
func FullName(name string) string {
	if strings.Contains(name, ".") && isUnitType(Type(name)) {
		return name
	}
	return name + ".service"
}

// Instantiate puts an instance into the name of a template.
func Instantiate(template, instance string) string {
	at := strings.Index(template, "@.")
	if at < 0 {
		return template
	}
	return template[:at+1] + instance + template[at+1:]
}

func isUnitType(s string) bool {
	for _, t := range unitTypes {
		if s == t {
			return true
		}
	}
	return false
}

// isNameChar holds for VALID_CHARS of basic/unit-name.c.
func isNameChar(c byte) bool {
	return isAlnum(c) || c == ':' || c == '-' || c == '_' || c == '.' || c == '\\'
}

// EscapeName is systemd-escape(1): "/" becomes "-", and "-", "\", a leading dot
// and whatever a unit name cannot hold become \xNN.
func EscapeName(s string) string {
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			b = append(b, '-')
		case c == '-' || c == '\\' || i == 0 && c == '.' || !isNameChar(c):
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// MangleName escapes only what a unit name cannot hold at all: it is what
// systemctl does to a name that it is given, so `systemctl start "a b"` finds
// the unit that stands under MangleName("a b").
func MangleName(s string) string {
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '/':
			b = append(b, '-')
		case c != '@' && !isNameChar(c):
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// UnescapeName undoes EscapeName.
func UnescapeName(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b = append(b, '/')
		case s[i] != '\\':
			b = append(b, s[i])
		default:
			c, ok := hexByte(s[i:])
			if !ok {
				return "", fmt.Errorf("unescaping %q: byte %d begins no \\xNN", s, i)
			}
			b = append(b, c)
			i += 3
		}
	}
	return string(b), nil
}

func hexByte(s string) (byte, bool) {
	if len(s) < 4 || s[1] != 'x' {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, lower(s[2])), strings.IndexByte(hexDigits, lower(s[3]))
	if hi < 0 || lo < 0 || hi|lo == 0 {
		return 0, false
	}
	return byte(hi<<4 | lo), true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'F' {
		return c + 'a' - 'A'
	}
	return c
}

// ValidPath tells whether a path can be one of a file at all: systemd passes over
// directives with a longer one (path_is_valid() of basic/path-util.c).
func ValidPath(path string) bool {
	const pathMax, fileNameMax = 4096, 255
	for name := range strings.SplitSeq(path, "/") {
		if len(name) > fileNameMax {
			return false
		}
	}
	return len(path) < pathMax
}

// EscapePath is systemd-escape(1) --path.
func EscapePath(path string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", fmt.Errorf("escaping path %q: \"..\" has no place in a unit name", path)
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return "-", nil
	}
	return EscapeName(strings.Join(parts, "/")), nil
}

// UnescapePath undoes EscapePath and gives an absolute path.
func UnescapePath(s string) (string, error) {
	if s == "-" {
		return "/", nil
	}
	path, err := UnescapeName(s)
	if err != nil {
		return "", err
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("unescaping path %q: %q is not a normal path", s, path)
		}
	}
	return "/" + path, nil
}
