// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"bytes"
	"encoding"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

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
	case reflect.Int, reflect.Int64:
		if v.Type() == severityType {
			v.SetInt(int64(rng.IntN(2)))
			return
		}
		v.SetInt(rng.Int64() >> rng.IntN(64) * int64(1-2*rng.IntN(2)))
	case reflect.Uint32:
		v.SetUint(uint64(rng.Uint32()))
	case reflect.Float64:
		v.SetFloat(jsonFloats[rng.IntN(len(jsonFloats))])
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), rng, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), rng, depth+1)
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

func standardJSON(t *testing.T, r *Resolved) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestJSONIsTheStandards(t *testing.T) {
	for seed := range uint64(400) {
		var r Resolved
		fill(reflect.ValueOf(&r).Elem(), rand.New(rand.NewPCG(seed, 0)), 0)
		want := standardJSON(t, &r)
		if got := r.AppendJSON(nil); !bytes.Equal(got, want) {
			t.Fatalf("seed %d:\ngot  %s\nwant %s", seed, got, want)
		}
	}
}

// The writer knows no custom forms, so no type may have one; and it takes each
// field's name from its tag.
func TestEveryTypeHasAPlainForm(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		if seen[typ] || typ == severityType {
			return
		}
		seen[typ] = true
		for _, custom := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
			if typ.Implements(custom) || reflect.PointerTo(typ).Implements(custom) {
				t.Errorf("%v has a JSON form of its own", typ)
			}
		}
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8 || typ.Kind() == reflect.Map && typ != reflect.TypeFor[map[string]Position]() {
				t.Errorf("%v has no plain JSON form", typ)
			}
			visit(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				field := typ.Field(i)
				if !field.IsExported() || field.Anonymous || field.Tag.Get("json") == "" {
					t.Errorf("%v.%s: a field needs a name in JSON", typ, field.Name)
				}
				visit(field.Type)
			}
		}
	}
	visit(reflect.TypeFor[Resolved]())
	if len(seen) < 20 {
		t.Errorf("%d types seen", len(seen))
	}
}

func FuzzJSONString(f *testing.F) {
	for _, s := range jsonStrings {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := Resolved{Service: &Service{Name: s}}
		if got, want := r.AppendJSON(nil), standardJSON(t, &r); !bytes.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
