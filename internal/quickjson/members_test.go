// SPDX-License-Identifier: Apache-2.0

package quickjson

import (
	"encoding/json"
	"testing"
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
