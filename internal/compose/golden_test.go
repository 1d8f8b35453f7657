// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/definition"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGood compares what valid definitions mean with the JSON that the helper
// reads; TestFaults compares the messages of broken ones. Each case is NAME.yaml
// with, if there are any, NAME.yaml.d/*.yaml and NAME.vars.
func TestGood(t *testing.T) {
	eachCase(t, "testdata/good", func(t *testing.T, file definition.File) []byte {
		if file.Problems.HasErrors() {
			t.Errorf("a valid definition has problems:\n%s", file.Problems)
		}
		var out bytes.Buffer
		out.WriteString(file.Problems.String())
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		file.Problems = nil
		for i := range file.Services {
			if !strings.HasPrefix(file.Name, "lines") {
				file.Services[i].Source.Lines = definition.Lines{}
			}
		}
		if err := encoder.Encode(file); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	})
}

func TestFaults(t *testing.T) {
	eachCase(t, "testdata/faults", func(t *testing.T, file definition.File) []byte {
		if !file.Problems.HasErrors() {
			t.Errorf("a broken definition has no errors")
		}
		if len(file.Services) == 0 {
			t.Errorf("a broken definition has no service, so it would have no unit")
		}
		return []byte(file.Problems.String())
	})
}

func eachCase(t *testing.T, dir string, render func(*testing.T, definition.File) []byte) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	for _, path := range paths {
		path = filepath.ToSlash(path)
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			compareGolden(t, strings.TrimSuffix(path, ".yaml")+".golden", render(t, parse(readCase(t, path))))
		})
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// readCase makes the input of a case; its files are named without the folder.
func readCase(t *testing.T, path string) Input {
	t.Helper()
	name := strings.TrimSuffix(filepath.Base(path), ".yaml")
	in := Input{Name: name, Dir: "/etc/unitc", Env: readVars(t, strings.TrimSuffix(path, ".yaml")+".vars")}
	dropins, err := filepath.Glob(path + ".d/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{path}, dropins...) {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := filepath.Rel(filepath.Dir(path), p)
		in.Layers = append(in.Layers, Layer{Path: filepath.ToSlash(shown), Data: data})
	}
	return in
}

func readVars(t *testing.T, path string) map[string]string {
	t.Helper()
	vars := map[string]string{}
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		vars[name] = value
	}
	return vars
}
