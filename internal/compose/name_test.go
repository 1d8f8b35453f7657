// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"web":         "",
		"worker@":     "",
		"a.b_c-d":     "",
		"@":           "it is empty",
		"-web":        "it begins with '-'",
		"a:b":         "kept for the scopes of instances",
		"a b":         "' ' is no letter, digit",
		"a@b":         "write a template a@.yaml",
		"web.service": "the file is named like a unit; rename the file to web.yaml",
		"web.target":  "the file is named like a unit; rename the file to web.yaml",
	} {
		problems := Parse(Input{Name: name, Layers: []Layer{{Path: name + ".yaml", Data: []byte("rootfs: host\ncommand: /bin/true\n")}}}).Problems
		if got := problems.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
