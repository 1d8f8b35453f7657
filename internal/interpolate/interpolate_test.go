// SPDX-License-Identifier: Apache-2.0

package interpolate

import (
	"errors"
	"strings"
	"testing"
)

var vars = map[string]string{"A": "a", "EMPTY": "", "DOLLAR": "$A ${A}", "LONG": strings.Repeat("x", 600)}

func expander(unset *[]string) *Expander {
	return &Expander{
		Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		Unset:  func(name string) { *unset = append(*unset, name) },
		Limit:  1000,
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ in, want, unset string }{
		{"", "", ""},
		{"plain } {x}", "plain } {x}", ""},
		{"$A", "a", ""},
		{"${A}b$A-$A.", "aba-a.", ""},
		{"$$A $$$$ $${A}", "$A $$ ${A}", ""},
		{"$NONE|${NONE}", "|", "NONE NONE"},
		{"${NONE:-d} ${NONE-d} ${EMPTY:-d} ${EMPTY-d} ${A:-d}", "d d d  a", ""},
		{"${NONE:+d}|${NONE+d}|${EMPTY:+d}|${EMPTY+d}|${A:+d}", "|||d|d", ""},
		{"${A:?no} ${A?no} ${EMPTY?no}", "a a ", ""},
		{"${NONE:-${A}-${NONE2:-$A}}", "a-a", ""},
		{"${NONE:-${NONE2}}", "", "NONE2"},
		{"${A:-${NONE2}}", "a", ""},
		{"${A:+${A:+${A}}}", "a", ""},
		{"${NONE:-a:-b?c}", "a:-b?c", ""},
		{"${NONE:-$$x}", "$x", ""},
		{"${DOLLAR}", "$A ${A}", ""},
		{"${A:-${NONE:?never looked at}}", "a", ""},
		{"ünï${A}cödé", "ünïacödé", ""},
		{"${_x9:-}", "", ""},
		{"a$ $1 ^/$|$(id)$", "a$ $1 ^/$|$(id)$", ""},
		{"${NONE:-$2a$14$A}$$1", "$2a$14a$1", ""},
		{"${NONE:-/e/{id}}|${A:-/e/{id}}|{${A:+{x}}}", "/e/{id}|a|{{x}}", ""},
		{`${NONE:-{"a":{"b":"${A}"}}}`, `{"a":{"b":"a"}}`, ""},
		{"{{.Node}} ${NONE:-{{.${A}}}}", "{{.Node}} {{.a}}", ""},
		{"${NONE:-{}|${NONE:-{x}|${NONE:-x}}", "{|{x}|x", ""},
		{"${NONE:-{} and ${A}", "{ and a", ""},
		{"${NONE:-${NONE2:-{}}", "{", ""},
		{"${NONE:-}${A}}", "a}", ""},
		{"${NONE:-{}}|${NONE:-z}", "{}|z", ""},
	} {
		var unset []string
		got, err := expander(&unset).Expand(c.in)
		if err != nil || got != c.want || strings.Join(unset, " ") != c.unset {
			t.Errorf("Expand(%q) = %q, %v, unset %v; want %q, unset %q", c.in, got, err, unset, c.want, c.unset)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	for _, c := range []struct {
		in, what string
		offset   int
	}{
		{"${", "a ${ without a variable's name", 0},
		{"${}", "a ${ without a variable's name", 0},
		{"${1A}", "a ${ without a variable's name", 0},
		{"${A", "a ${ that is never closed", 0},
		{"${NONE:-x", "a ${ that is never closed", 0},
		{"${NONE:-${A}", "a ${ that is never closed", 0},
		{"x ${A!}", "${A goes on with an unknown sign", 2},
		{"${NONE:?set it for $A}", "the variable NONE is not set: set it for a", 0},
		{"${EMPTY:?}", "the variable EMPTY is empty", 0},
		{"${NONE?}", "the variable NONE is not set", 0},
		{"$LONG$LONG", "the string grows beyond 1000 bytes", 10},
		{strings.Repeat("${A:-", 30), "defaults are nested too deep", 100},
	} {
		var unset []string
		got, err := expander(&unset).Expand(c.in)
		var e *Error
		if !errors.As(err, &e) || e.What != c.what || e.Offset != c.offset || e.Cure == "" {
			t.Errorf("Expand(%q) = %q, %+v; want %q at %d", c.in, got, err, c.what, c.offset)
		}
	}
}

// FuzzExpand: no panic, no growth beyond the limit, and a string whose dollars
// are doubled comes back as it was.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$A", "${A:-${B}}", "$$", "${A:?x}", "${", "}", "${A:+$LONG}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var unset []string
		x := expander(&unset)
		if got, err := x.Expand(s); err == nil && len(got) > x.Limit && strings.Contains(s, "$") {
			t.Errorf("Expand(%q) has %d bytes", s, len(got))
		}
		quoted := strings.ReplaceAll(s, "$", "$$")
		if len(s) > x.Limit {
			return
		}
		if got, err := x.Expand(quoted); err != nil || got != s {
			t.Errorf("Expand(%q) = %q, %v", quoted, got, err)
		}
	})
}
