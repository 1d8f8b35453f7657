// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"encoding/json"
	"testing"

	"github.com/unitc/unitc/internal/quickjson"
)

// What is written is what encoding/json would write of a map, and is read back
// by both, whether it was looked at or not.
func TestLines(t *testing.T) {
	places := map[string]Position{"volumes[1]": {File: "/etc/\"a\"\u2028.yaml", Line: 2, Col: 9}, "volumes": {Line: 4, Col: 3}, "a\tb": {Line: 1, Col: 1}}
	lines := NewLines([]Line{
		{"volumes", Position{Line: 9, Col: 9}}, {"volumes[1]", places["volumes[1]"]}, {"a\tb", places["a\tb"]}, {"volumes", places["volumes"]},
	})
	want, err := json.Marshal(places)
	if err != nil {
		t.Fatal(err)
	}
	source := Source{File: "/x", Lines: lines}
	written := string(quickjson.Append(nil, &source))
	if form := `{"file":"/x","lines":` + string(want) + `}`; written != form {
		t.Errorf("written as %s, want %s", written, form)
	}
	byStandard, err := json.Marshal(source)
	if err != nil || string(byStandard) != written {
		t.Errorf("encoding/json writes %s (%v)", byStandard, err)
	}
	var quick, standard Source
	if err := quickjson.Parse([]byte(written), &quick); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(written), &standard); err != nil {
		t.Fatal(err)
	}
	for _, read := range []Source{quick, standard} {
		if again := string(quickjson.Append(nil, &read)); again != written {
			t.Errorf("read and written again: %s", again)
		}
		if !read.Lines.Equal(lines) {
			t.Errorf("read as %v", read.Lines)
		}
		for key, place := range places {
			if got, ok := read.Lines.At(key); !ok || got != place {
				t.Errorf("%q is at %v", key, got)
			}
		}
		if _, ok := read.Lines.At("command"); ok {
			t.Error("a key that is nowhere has a place")
		}
		if again := string(quickjson.Append(nil, &read)); again != written {
			t.Errorf("looked at and written again: %s", again)
		}
	}
	for _, broken := range []string{`{"lines":[]}`, `{"lines":3}`, `{"lines":{`} {
		if quickjson.Parse([]byte(broken), &quick) == nil {
			t.Errorf("%s is read", broken)
		}
	}
}
