// SPDX-License-Identifier: Apache-2.0

package quickjson

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"
)

// Of what encoding/json takes for an object the members are the same; of what
// is cut off anywhere there are none too many, and there is an error.
func TestMembers(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":1,"b":"x"}`, "{ \"a\" : [1, {\"b\": \"]}\"}] ,\n\"c\":{\"d\":[[],{}]},\"e\":null , \"f\":true,\"g\":-1.5e3 }",
		`{"quo\"te":"\\","b\\":"\\\"}","c":"{","d":["\"",","]}`, `{"a":"","b":[],"c":{}}`, `{"a":{"a":{"a":[[["x"]]]}}}`,
	} {
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		members := func(data []byte) (map[string]string, error) {
			got := map[string]string{}
			err := Members(data, func(name, value []byte) bool {
				var key string
				if err := json.Unmarshal([]byte(`"`+string(name)+`"`), &key); err != nil {
					t.Fatalf("%s: %q: %v", text, name, err)
				}
				got[key] = string(value)
				return true
			})
			return got, err
		}
		got, err := members([]byte(text))
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
		for name, value := range want {
			if got[name] != string(value) {
				t.Errorf("%s: %s is %s, not %s", text, name, got[name], value)
			}
		}
		for cut := range text {
			got, err := members([]byte(text[:cut]))
			if err == nil && json.Valid([]byte(text[:cut])) == false && text[cut:] != " " {
				t.Errorf("%s: no error", text[:cut])
			}
			if len(got) > len(want) {
				t.Errorf("%s: %q", text[:cut], got)
			}
		}
	}
	n := 0
	if err := Members([]byte(`{"a":1,"b":2}`), func(_, _ []byte) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("%d members behind the last one wanted: %v", n, err)
	}
	for _, bad := range []string{"", "[]", "1", "{1:2}", `{"a"}`, `{"a":`, `{"a":"`, `{"a":"\"`, `{"a" 1}`, `{,}`, `{"a":}`, `{"a":,"b":1}`} {
		if err := Members([]byte(bad), func(_, _ []byte) bool { return true }); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// Members sees what the standard library sees in every object, and ends for
// whatever else it is given.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":{"c":[1,"}"]}}`, `{"a":"\\","b":"\""}`, ` { "a" : null , "b" : [ ] } `, `{}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":}`, `[1]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := map[string]string{}
		err := Members(data, func(name, value []byte) bool {
			ours[string(name)] = string(value)
			return true
		})
		var standard map[string]json.RawMessage
		if json.Unmarshal(data, &standard) != nil || standard == nil || bytes.ContainsRune(data, '\\') || !utf8.Valid(data) {
			return // names are given as they are written
		}
		theirs := map[string]string{}
		for name, value := range standard {
			theirs[name] = string(value)
		}
		if err != nil || !maps.Equal(ours, theirs) {
			t.Errorf("%q is read as %q, %v; the standard has %q", data, ours, err, theirs)
		}
	})
}
