// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"gopkg.in/yaml.v3"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/syntax/library"
)

func resolve(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	data, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// beyond are the kinds of faults that no schema of this draft can see: they are
// about two values at once, about what is not in the file, or about the values of
// directives, of which systemd's manual is the schema.
var beyond = []string{diag.RuleDirective, diag.RuleConflict, diag.RuleDuplicate, diag.RuleReference, diag.RuleLimit, diag.RuleVariable}

func parse(text []byte) diag.List {
	return compose.Parse(compose.Input{
		Library: library.Full,
		Name:    "web", Dir: "/etc/unitc", Layers: []compose.Layer{{Path: "web.yaml", Data: text}},
		Read: func(string) ([]byte, error) { return []byte("services: {base: {image: x}}"), nil },
	}).Problems
}

// corpus are valid definitions: the examples of all keys, and the golden ones.
func corpus(t *testing.T) []any {
	t.Helper()
	var texts []string
	for _, k := range compose.ServiceKeys() {
		if k.Status == compose.Refused {
			continue
		}
		root := "rootfs: host\n"
		switch k.Name {
		case "rootfs", "image", "bundle":
			root = ""
		case "build":
			root = "image: web\n"
		case "memswap_limit":
			root += "mem_limit: 512m\n"
		case "x-idle-timeout":
			root += "ports: [{target: 80, published: 80, x-activation: true}]\n"
		}
		texts = append(texts, root+k.Name+": "+k.Example+"\n")
	}
	paths, err := filepath.Glob("../compose/testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(path); name != "variables.yaml" && name != "worker@.yaml" {
			texts = append(texts, string(data))
		}
	}
	var all []any
	for _, text := range texts {
		var tree any
		if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		all = append(all, tree)
	}
	return all
}

// asJSON gives a tree the types that JSON has.
func asJSON(t *testing.T, tree any) any {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExamplesAreValid(t *testing.T) {
	s := resolve(t)
	for _, tree := range corpus(t) {
		if err := s.Validate(asJSON(t, tree)); err != nil {
			text, _ := yaml.Marshal(tree)
			t.Errorf("%v\n%s", err, text)
		}
	}
}

var (
	seed      = flag.Uint64("seed", 1, "another one finds other mutations")
	mutations = flag.Int("mutations", 12000, "how many")
)

// TestSameVerdict mutates valid definitions and demands that the schema and the
// parser agree on each.
func TestSameVerdict(t *testing.T) {
	s := resolve(t)
	trees := corpus(t)
	random := rand.New(rand.NewPCG(*seed, 2))
	wrong, right := 0, 0
	for range *mutations {
		tree := copyTree(trees[random.IntN(len(trees))])
		what := mutate(random, &tree)
		text, err := yaml.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		problems := parse(text)
		parser, onlyBeyond := problems.HasErrors(), true
		for _, p := range problems {
			if p.Severity == diag.Error && !slices.Contains(beyond, p.Rule) {
				onlyBeyond = false
			}
		}
		invalid := s.Validate(asJSON(t, tree))
		if parser {
			wrong++
		} else {
			right++
		}
		if strings.HasSuffix(what, " = <nil>") && strings.Contains(string(text), "extends:") {
			continue // no value, and the service that is extended has one
		}
		if (invalid != nil) != parser && !(parser && onlyBeyond) {
			t.Errorf("%s: schema: %v, parser: %s\n%s", what, invalid, problems, text)
			if wrong > 4000 {
				return
			}
		}
	}
	if wrong < 1000 || right < 200 {
		t.Errorf("%d mutations were wrong and %d right: too few of one kind to prove anything", wrong, right)
	}
}

// strange are values that rarely are right.
var strange = []any{nil, true, 5, 1.5, -3, "", "~", "no such thing", "x", []any{}, []any{"x"}, []any{1}, map[string]any{}, map[string]any{"x": "y"}, "10s", "512m", "80:80", "/x:/y"}

// mutate changes one place of a tree and says what it did.
func mutate(random *rand.Rand, tree *any) string {
	at, set := tree, func(v any) { *tree = v }
	path := ""
	for {
		m, isMap := (*at).(map[string]any)
		l, isList := (*at).([]any)
		switch {
		case isMap && len(m) > 0 && (path == "" || random.IntN(4) > 0):
			keys := slices.Sorted(maps.Keys(m))
			key := keys[random.IntN(len(keys))]
			value := m[key]
			path += "." + key
			at, set = &value, func(v any) { m[key] = v }
			// Half of the changes are to the key, not below it.
			switch random.IntN(6) {
			case 0:
				delete(m, key)
				return path + " removed"
			case 1:
				delete(m, key)
				m[key+"x"] = value
				return path + " renamed"
			}
		case isList && len(l) > 0 && random.IntN(3) > 0:
			i := random.IntN(len(l))
			value := l[i]
			path += fmt.Sprintf("[%d]", i)
			at, set = &value, func(v any) { l[i] = v }
		default:
			v := strange[random.IntN(len(strange))]
			set(copyTree(v))
			return fmt.Sprintf("%s = %v", path, v)
		}
	}
}

func copyTree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, value := range v {
			out[k] = copyTree(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = copyTree(v[i])
		}
		return out
	}
	return v
}
