// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	records, err := Parse([]byte(`{"MESSAGE":"one","__MONOTONIC_TIMESTAMP":"1500000","__REALTIME_TIMESTAMP":"1700000000000000"}
{"MESSAGE":[111,255,110],"N":null,"TWICE":["a","b"]}
`))
	if err != nil || len(records) != 2 {
		t.Fatal(records, err)
	}
	if r := records[0]; r["MESSAGE"] != "one" || r.At() != 1500*time.Millisecond || r.Wall().Unix() != 1_700_000_000 {
		t.Errorf("%v", r)
	}
	if r := records[1]; r["MESSAGE"] != "o\xffn" || r["N"] != "" || r["TWICE"] != "" || r.At() != 0 {
		t.Errorf("%q", r)
	}
	for _, text := range []string{"no JSON", "{", "[]"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s is no entry", text)
		}
	}
}
