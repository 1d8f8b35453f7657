// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/quickjson"
)

// Expand is expand where s is a template's, and s itself where it is not.
func Expand(s *definition.Service) (*definition.Service, error) {
	if s.Instance == "" && !strings.HasSuffix(s.Name, "@") {
		return s, nil
	}
	return expand(s)
}

// expand replaces the specifiers of a template in every string of s, with
// systemd.unit(5)'s meanings: %i the instance as in the unit's name, %I the
// same unescaped, %p and %P the part before "@", %n the unit's name, %N the
// same without its suffix, %% a percent sign.
func expand(s *definition.Service) (*definition.Service, error) {
	out := &definition.Service{}
	// A deep copy: the definition itself stays as it is.
	if err := quickjson.Parse(quickjson.Append(nil, s), out); err != nil {
		return nil, fmt.Errorf("copying the definition: %w", err)
	}
	prefix := strings.TrimSuffix(s.Name, "@")
	e := expander{
		'i': s.Instance, 'I': unescape(s.Instance), 'p': prefix, 'P': unescape(prefix),
		'n': s.Name + s.Instance + ".service", 'N': s.Name + s.Instance, '%': "%",
	}
	name, instance, source := out.Name, out.Instance, out.Source
	if err := e.walk(reflect.ValueOf(out).Elem(), ""); err != nil {
		return nil, err
	}
	out.Name, out.Instance, out.Source = name, instance, source
	return out, nil
}

type expander map[byte]string

func (e expander) walk(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.String:
		s, err := e.string(v.String(), path)
		if err != nil {
			return err
		}
		v.SetString(s)
	case reflect.Pointer:
		if !v.IsNil() {
			return e.walk(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := e.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // places in the definition's files
			}
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if err := e.walk(v.Field(i), strings.TrimPrefix(path+"."+key, ".")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e expander) string(s, path string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", &KeyError{path, "a lone % at the end", "write %% for a percent sign"}
		}
		value, ok := e[s[i]]
		if !ok {
			return "", &KeyError{path, fmt.Sprintf("unknown specifier %%%c", s[i]), "use %i, %I, %p, %P, %n, %N, or %% for a percent sign"}
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// unescape undoes unit-name escaping: "-" was "/", "\x2d" was "-"
// (systemd.unit(5), string escaping for inclusion in unit names).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b.WriteByte('/')
		case s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x':
			var c byte
			if _, err := fmt.Sscanf(s[i+2:i+4], "%02x", &c); err != nil {
				b.WriteByte(s[i])
				continue
			}
			b.WriteByte(c)
			i += 3
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
