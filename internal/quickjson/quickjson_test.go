// SPDX-License-Identifier: Apache-2.0

package quickjson_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/quickjson"
)

// What is written and read with this package.
var kept = []reflect.Type{reflect.TypeFor[definition.Resolved](), reflect.TypeFor[plan.Plan]()}

var severityType = reflect.TypeFor[diag.Severity]()

var jsonStrings = []string{
	"", "plain", "two words", `"`, `\`, "\n\r\t\b\f\x00\x1f\x7f", "é", "\u2028\u2029", "\xff", "a\xffb", "<&>", "\U0001f433", "%", "b", "n",
}

var jsonFloats = []float64{0, 0.5, 1, -1, 1e-7, 1.5e-10, 1e20, 1e21, 1e300, 5e-324, 0.1, 1e6, 123456.789}

// fill gives every field some value, or leaves some out.
func fill(v reflect.Value, rng *rand.Rand, depth int) {
	if rng.IntN(4) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(jsonStrings[rng.IntN(len(jsonStrings))])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type() == severityType {
			v.SetInt(int64(rng.IntN(2)))
			return
		}
		v.SetInt(rng.Int64() >> (64 - v.Type().Bits() + rng.IntN(v.Type().Bits())) * int64(1-2*rng.IntN(2)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rng.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Interface: // Windows' only
	case reflect.Float64:
		v.SetFloat(jsonFloats[rng.IntN(len(jsonFloats))])
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), rng, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() || v.Type().Field(i).Anonymous {
				fill(field, rng, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(3), 3))
		for i := range v.Len() {
			fill(v.Index(i), rng, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rng.IntN(4) {
			element := reflect.New(v.Type().Elem()).Elem()
			fill(element, rng, depth+1)
			v.SetMapIndex(reflect.ValueOf("k"+strconv.Itoa(rng.IntN(20))), element)
		}
	default:
		panic(v.Type())
	}
}

func standardJSON(t *testing.T, r any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestAppendAndParseAreTheStandards(t *testing.T) {
	for _, typ := range kept {
		for seed := range uint64(300) {
			v := reflect.New(typ)
			fill(v.Elem(), rand.New(rand.NewPCG(seed, 0)), 0)
			want := standardJSON(t, v.Interface())
			if got := quickjson.Append(nil, v.Interface()); !bytes.Equal(got, want) {
				t.Fatalf("%v, seed %d:\ngot  %s\nwant %s", typ, seed, got, want)
			}
			ours, theirs := reflect.New(typ), reflect.New(typ)
			if err := json.Unmarshal(want, theirs.Interface()); err != nil {
				t.Fatal(err)
			}
			if err := quickjson.Parse(want, ours.Interface()); err != nil {
				t.Fatalf("%v, seed %d: %v\n%s", typ, seed, err, want)
			}
			if !reflect.DeepEqual(ours.Interface(), theirs.Interface()) {
				t.Fatalf("%v, seed %d: read differently:\n%s\n%s", typ, seed, standardJSON(t, ours.Interface()), want)
			}
		}
	}
}

// Types with a JSON form of their own, and bytes, which encoding/json writes as
// base64, are not known here.
func TestEveryTypeHasAPlainForm(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		if typ.Implements(reflect.TypeFor[interface{ AppendForm([]byte) []byte }]()) && reflect.PointerTo(typ).Implements(reflect.TypeFor[interface{ ParseForm([]byte) error }]()) {
			return // its own tests hold it to encoding/json
		}
		for _, custom := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler]()} {
			if typ.Implements(custom) || reflect.PointerTo(typ).Implements(custom) {
				t.Errorf("%v has a JSON form of its own", typ)
			}
		}
		if typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) != reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			t.Errorf("%v is written as a text and not read as one, or the reverse", typ)
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8 || typ.Kind() == reflect.Map && typ.Key().Kind() != reflect.String {
				t.Errorf("%v has no plain JSON form", typ)
			}
			visit(typ.Elem())
		case reflect.Array, reflect.Complex64, reflect.Complex128, reflect.Float32:
			t.Errorf("%v is not known", typ)
		case reflect.Struct:
			for i := range typ.NumField() {
				visit(typ.Field(i).Type)
			}
		}
	}
	for _, typ := range kept {
		visit(typ)
	}
	if len(seen) < 40 {
		t.Errorf("%d types seen", len(seen))
	}
}

// FuzzParse: what encoding/json takes is read as it reads it, but for names in
// other cases and numbers that do not fit; what it refuses is no panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"version":1}`, `{"service":{"name":"a\u00e9\ud83d\udc33\ud83d","command":["x",null]}}`, `{"problems":[{"severity":"error"}]}`, `{"x":[{"y":1e5}],"version":2} `, `{`, `{"version":1}x`, `null`, "\"\xff\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours, theirs definition.Resolved
		if err := quickjson.Parse(data, &ours); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q is no JSON and was read", data)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		if d.Decode(&theirs) == nil && bytes.Equal(bytes.ToLower(data), data) && !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%q is read as %s, the standard has %s", data, standardJSON(t, &ours), standardJSON(t, &theirs))
		}
	})
}

func FuzzJSONString(f *testing.F) {
	for _, s := range jsonStrings {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := definition.Resolved{Service: &definition.Service{Name: s}}
		if got, want := quickjson.Append(nil, &r), standardJSON(t, &r); !bytes.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
