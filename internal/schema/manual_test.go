// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/compose"
)

const manual = "../../docs/man/unitc.yaml.5.md"

// TestManual compares the KEYS section of unitc.yaml(5) with the tables.
func TestManual(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), "\n# KEYS\n\n")
	section, after, ends := strings.Cut(rest, "\n# ")
	if !ok || !ends {
		t.Fatal("unitc.yaml(5) has no section KEYS, or nothing behind it")
	}
	want := strings.TrimSuffix(Manual(), "\n")
	if *update {
		if err := os.WriteFile(manual, []byte(before+"\n# KEYS\n\n"+want+"\n# "+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, section); diff != "" {
		t.Errorf("%s (-want +got):\n%s", manual, diff)
	}
}

// TestThreeTables: each key of the parser is in the manual and in the schema,
// with the same verdict on it.
func TestThreeTables(t *testing.T) {
	data, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Definitions struct {
			Service struct{ Properties map[string]map[string]any }
		}
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	properties := tree.Definitions.Service.Properties
	for _, k := range compose.ServiceKeys() {
		p, inSchema := properties[k.Name]
		_, forbidden := p["not"]
		if !inSchema || forbidden != (k.Status == compose.Refused) {
			t.Errorf("%s: the schema has it: %v, and forbids it: %v; the parser: %s", k.Name, inSchema, forbidden, k.Status)
		}
		if strings.Count(string(text), "\n**"+k.Name+"**\n: ") == 0 {
			t.Errorf("%s is not in the manual", k.Name)
		}
	}
	if keys := compose.ServiceKeys(); len(properties) != len(keys) {
		t.Errorf("the schema has %d keys, the parser %d", len(properties), len(keys))
	}
}
