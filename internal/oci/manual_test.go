// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each verb and each option stands in the manual, and nothing else does.
func TestManualHasEveryVerbAndOption(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/unitc-runtime.8.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	in := map[string]bool{}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+)`).FindAllStringSubmatch(text, -1) {
		in[m[1]] = true
	}
	known := map[string]bool{"runtime": true, "add-runtime": true}
	for _, v := range append(verbs, verb{name: "", options: globalOptions}) {
		if v.name != "" && !strings.Contains(text, "## "+v.name+" ") && !strings.Contains(text, "; "+v.name+" ") && !strings.Contains(text, "## "+v.name+";") {
			t.Errorf("the manual has no section on %s", v.name)
		}
		for _, o := range v.options {
			known[o.long] = true
			if !in[o.long] {
				t.Errorf("the manual does not have --%s of %s", o.long, v.name)
			}
		}
	}
	for name := range in {
		if !known[name] {
			t.Errorf("the manual has --%s, and no verb does", name)
		}
	}
}
