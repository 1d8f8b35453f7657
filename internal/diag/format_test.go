// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var sample = List{
	{File: "/etc/unitc/web.yaml", Line: 2, Col: 12, Path: "mem_limit", What: `"512" is 512 bytes`, Cure: "write 512m"},
	{File: "/etc/unitc/web.yaml", Line: 3, Col: 8, Rule: RuleUnknownKey, Path: "naïve.kéy", What: "unknown key", Cure: "remove it"},
	{File: "/etc/unitc/web.yaml", Line: 4, Col: 3, Severity: Warning, Rule: RuleUnsupported, What: "odd"},
	{File: "/etc/unitc/web.yaml", Line: 4, Col: 4, Severity: Note, Rule: RuleRelaxation, Path: "pid", What: "opens this"},
	{File: "/etc/unitc/web.yaml", Line: 5, Col: 901, What: "far out"},
	{File: "/etc/unitc/web.yaml", Line: 99, Col: 1, What: "beyond the end"},
	{File: "rel/100% a,b:c.yaml", What: "two\nlines \x1b[31m", Cure: "none", Rule: RuleConflict},
}

const source = "rootfs: host\nmem_limit: 512\nnaïve: kéy\n\tx\r\n"

func sourceOf(file string) []byte {
	if file != "/etc/unitc/web.yaml" {
		return nil
	}
	return []byte(source + strings.Repeat("0123456789", 100) + "\n")
}

func TestFormats(t *testing.T) {
	for name, o := range map[string]Options{
		"text":   {},
		"caret":  {Source: sourceOf},
		"color":  {Source: sourceOf, Color: true},
		"json":   {Format: "json"},
		"sarif":  {Format: "sarif", Version: "1.2"},
		"github": {Format: "github"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := sample.Write(&out, o); err != nil {
				t.Fatal(err)
			}
			path := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := sample.Write(&strings.Builder{}, Options{Format: "xml"}); err == nil || Known("xml") || !Known("sarif") {
		t.Errorf("xml is a format: %v", err)
	}
}

// TestCaretColumn: the caret stands below the character, counted in characters.
func TestCaretColumn(t *testing.T) {
	var out strings.Builder
	if err := sample[1:2].Write(&out, Options{Source: sourceOf}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	shown, caret := []rune(lines[1]), []rune(lines[2])
	if at := len(caret) - 1; caret[at] != '^' || shown[at] != 'k' {
		t.Errorf("the caret stands below %q in\n%s", shown[at], out.String())
	}
}

func TestSeverityJSON(t *testing.T) {
	data, err := json.Marshal(sample)
	if err != nil {
		t.Fatal(err)
	}
	var back List
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`[{"severity": "fatal"}]`), &back); err == nil {
		t.Error("an unknown severity was read")
	}
}

// FuzzText: whatever the file holds, no control character reaches a terminal
// and the caret view has whole lines.
func FuzzText(f *testing.F) {
	f.Add(2, 3, "a\nb\x1b[2J\n", "what\x00")
	f.Fuzz(func(t *testing.T, line, col int, text, what string) {
		var out strings.Builder
		l := List{{File: "f", Line: line, Col: col, What: what}}
		if err := l.Write(&out, Options{Source: func(string) []byte { return []byte(text) }}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\x00\r") || !strings.HasSuffix(out.String(), "\n") || strings.Count(out.String(), "\n") > 3 {
			t.Errorf("%q", out.String())
		}
	})
}
