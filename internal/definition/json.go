// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/unitc/unitc/internal/diag"
)

// The JSON of a resolved definition is written at each reload and read at each
// start, by short processes. encoding/json spends 0.6 ms at its first call on
// plans for all types that can be reached from Resolved; this writer makes one
// of a type only when it meets it, which takes 0.05 ms. The bytes are the same
// (a test holds the two together), HTML escapes apart.

// AppendJSON appends the JSON form of r.
func (r *Resolved) AppendJSON(b []byte) []byte {
	return appendValue(b, reflect.ValueOf(r).Elem())
}

// member is a field of a struct as JSON has it.
type member struct {
	name      string
	key       string // `"name":`
	index     int
	omitEmpty bool
}

var memberPlans sync.Map // reflect.Type → []member

func membersOf(t reflect.Type) []member {
	if plan, ok := memberPlans.Load(t); ok {
		return plan.([]member)
	}
	plan := make([]member, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("json")
		name, option, _ := strings.Cut(tag, ",")
		plan = append(plan, member{name, `"` + name + `":`, i, option == "omitempty"})
	}
	memberPlans.Store(t, plan)
	return plan
}

// severityType is the one type with a JSON form of its own.
var severityType = reflect.TypeFor[diag.Severity]()

func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.String:
		return appendString(b, v.String())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int64:
		if v.Type() == severityType {
			return appendString(b, diag.Severity(v.Int()).String())
		}
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Uint32:
		return strconv.AppendUint(b, v.Uint(), 10)
	case reflect.Float64:
		return appendFloat(b, v.Float())
	case reflect.Struct:
		return appendStruct(b, v)
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return appendValue(b, v.Elem())
	case reflect.Slice:
		return appendSlice(b, v)
	case reflect.Map:
		return appendMap(b, v)
	}
	panic("definition: no JSON form for " + v.Type().String())
}

func appendStruct(b []byte, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for _, m := range membersOf(v.Type()) {
		field := v.Field(m.index)
		if m.omitEmpty && isEmpty(field) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendValue(append(b, m.key...), field)
	}
	return append(b, '}')
}

// isEmpty is encoding/json's: no struct is empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

func appendSlice(b []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, v.Index(i))
	}
	return append(b, ']')
}

// appendMap sorts, as same input must give same bytes (G-8).
func appendMap(b []byte, v reflect.Value) []byte {
	if v.IsNil() {
		return append(b, "null"...)
	}
	places := v.Interface().(map[string]Position)
	keys := make([]string, 0, len(places))
	for key := range places {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		place := places[key]
		b = append(appendString(b, key), ':')
		b = appendStruct(b, reflect.ValueOf(&place).Elem())
	}
	return append(b, '}')
}

// appendFloat: JSON has no word for what is no number; the parser lets none in.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, '0')
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b = append(b[:n-2], b[n-1])
	}
	return b
}

const hexDigits = "0123456789abcdef"

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != '\u2028' && r != '\u2029' && !(r == utf8.RuneError && size == 1) {
				i += size
				continue
			}
		}
		b = appendEscape(append(b, s[start:i]...), r)
		i += size
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, r rune) []byte {
	const letters = "\"\"\\\\\bb\ff\nn\rr\tt"
	if i := strings.IndexRune(letters, r); i >= 0 && i%2 == 0 {
		return append(b, '\\', letters[i+1])
	}
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
