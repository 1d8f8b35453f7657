// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
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

// Numbers are what they say, and never other ones of fewer bits or without a sign.
func TestUpdateOptions(t *testing.T) {
	for _, c := range []struct{ option, value, wrong string }{
		{"blkio-weight", "500", ""}, {"blkio-weight", "65546", "above 1000"}, {"blkio-weight", "-1", "below 0"},
		{"cpu-share", "1024", ""}, {"cpu-share", "-1", "below 0"}, {"cpu-share", "x", "not a number"}, {"cpu-period", "-1", "below 0"}, {"cpu-burst", "-1", "below 0"},
		{"cpu-quota", "-1", ""}, {"cpu-rt-period", "-1", "below 0"}, {"cpu-idle", "1", ""}, {"cpu-idle", "2", "above 1"},
		{"memory", "64m", ""}, {"memory", "-1", ""}, {"memory", "-5", "below -1"}, {"memory", "64q", "invalid size"}, {"memory", "9000000000g", "invalid size"},
		{"memory-swap", "-2", "below -1"}, {"memory-reservation", "-2", "below -1"}, {"pids-limit", "-1", ""}, {"pids-limit", "-2", "below -1"},
		{"kernel-memory", "5m", ""}, {"l3-cache-schema", "L3:0=f", "Intel RDT"}, {"mem-bw-schema", "MB:0=20", "Intel RDT"},
	} {
		log := t.TempDir() + "/log"
		call := &call{options: options{c.option: {c.value}}, log: logger{path: log}}
		err := call.resources(&specs.LinuxResources{})
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("--%s %s: %v, want %q", c.option, c.value, err, c.wrong)
		}
		if said, _ := os.ReadFile(log); strings.Contains(string(said), "--kernel-memory is ignored") != (c.option == "kernel-memory") {
			t.Errorf("--%s: the log has %q", c.option, said)
		}
	}
}
