// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A change of one figure keeps those that belong to it.
func TestComplete(t *testing.T) {
	const old = `{"memory": {"limit": 64, "swap": 96, "checkBeforeUpdate": true}, "cpu": {"quota": 5000, "period": 10000}}`
	for _, c := range []struct{ old, change, want string }{
		{old, `{}`, `{}`},
		{old, `{"memory": {"reservation": 5}}`, `{"memory": {"reservation": 5}}`},
		{old, `{"memory": {"limit": 72}}`, `{"memory": {"limit": 72, "swap": 96, "checkBeforeUpdate": true}}`},
		{old, `{"memory": {"swap": 70}}`, `{"memory": {"limit": 64, "swap": 70, "checkBeforeUpdate": true}}`},
		{old, `{"memory": {"limit": -1}}`, `{"memory": {"limit": -1, "swap": -1, "checkBeforeUpdate": true}}`},
		{old, `{"memory": {"limit": 72, "swap": 72, "checkBeforeUpdate": false}}`, `{"memory": {"limit": 72, "swap": 72, "checkBeforeUpdate": false}}`},
		{old, `{"cpu": {"quota": 7000}}`, `{"cpu": {"quota": 7000, "period": 10000}}`},
		{old, `{"cpu": {"period": 9000}}`, `{"cpu": {"quota": 5000, "period": 9000}}`},
		{old, `{"cpu": {"cpus": "0"}}`, `{"cpu": {"cpus": "0"}}`},
		{`{}`, `{"memory": {"limit": 72}, "cpu": {"quota": 7000}}`, `{"memory": {"limit": 72}, "cpu": {"quota": 7000}}`},
		{`{"memory": {"limit": 64, "swap": -1}}`, `{"memory": {"limit": 72}}`, `{"memory": {"limit": 72}}`},
	} {
		var before, r, want specs.LinuxResources
		if err := errors.Join(json.Unmarshal([]byte(c.old), &before), json.Unmarshal([]byte(c.change), &r), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatal(err)
		}
		complete(&r, &before)
		got, _ := json.Marshal(r)
		if wanted, _ := json.Marshal(want); string(got) != string(wanted) {
			t.Errorf("%s becomes %s, want %s", c.change, got, wanted)
		}
	}
}
