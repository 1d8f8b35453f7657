// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"testing"
	"time"
)

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		`a  b	c`:              {"a", "b", "c"},
		`"a b" c'd e'f`:       {"a b", "cd ef"},
		`"a\"b" \x41\n\s`:     {`a"b`, "A\n "},
		`\u00e9 \101 \q`:      {"é", "A", `\q`},
		`""`:                  {""},
		`sh -c "echo \\$$x;"`: {"sh", "-c", `echo \$$x;`},
	} {
		if got, err := splitWords(text, true); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := splitWords(`a "b`, true); err == nil {
		t.Error("an open quote is no fault")
	}
}

// What is reported as a command may be pasted into a shell.
func TestShellWord(t *testing.T) {
	for text, want := range map[string]string{"a-b_c.d": "a-b_c.d", "localhost/x:1@sha256": "localhost/x:1@sha256", "": "''", "a b": "'a b'", "$(x)": "'$(x)'", "it's": `'it'\''s'`, "~": "'~'", "é": "'é'", "a\nb": "'a\nb'"} {
		if got := shellWord(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestTimeSpan(t *testing.T) {
	for text, want := range map[string]string{"90": "1m30s", "1min 30s": "1m30s", "2h": "2h", "1d": "24h", "500ms": "500ms", "1.5min": "1m30s", "70": "1m10s", "10m": "10m", "1h30s": "1h0m30s"} {
		if d, ok := timeSpan(text); !ok || spell(d) != want {
			t.Errorf("%s is %s, %v, want %s", text, spell(d), ok, want)
		}
	}
	for _, text := range []string{"", "infinity", "x", "5 parsecs", "1 2 x"} {
		if d, ok := timeSpan(text); ok {
			t.Errorf("%q is %s", text, d)
		}
	}
	if got := spell(100 * time.Minute); got != "1h40m" {
		t.Errorf("100 minutes are %s", got)
	}
}
