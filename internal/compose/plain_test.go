// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/syntax/library"
)

// describe writes a tree down, places included.
func describe(b *strings.Builder, n *node) {
	fmt.Fprintf(b, "%d@%d:%d", n.kind, n.place.line, n.place.col)
	switch n.kind {
	case mapping:
		b.WriteByte('{')
		for _, p := range n.pairs {
			fmt.Fprintf(b, "%q@%d:%d=", p.key, p.place.line, p.place.col)
			describe(b, p.value)
			b.WriteByte(' ')
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for _, item := range n.items {
			describe(b, item)
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	default:
		fmt.Fprintf(b, "%q", n.text)
	}
}

func treeOf(n *node) string {
	var b strings.Builder
	describe(&b, n)
	return b.String()
}

// yamlTree is what yaml.v3 makes of a file; a fault gives "".
func yamlTree(data []byte) (tree, problems string) {
	r := &reader{in: Input{Name: "web", Layers: []Layer{{"web.yaml", data}}, Library: library.Full}}
	l := loader{reader: r, within: within{unread: true}} // so that nothing is filled in
	n := l.loadYAML(data, place{})
	if n == nil || r.problems != nil {
		return "", r.problems.String()
	}
	return treeOf(n), ""
}

// checkPlain tells whether a text is plain, having compared the two readers.
func checkPlain(t *testing.T, text string) bool {
	t.Helper()
	n := readPlain([]byte(text), 0, &trees{})
	if n == nil {
		return false
	}
	want, problems := yamlTree([]byte(text))
	if got := treeOf(n); got != want {
		t.Errorf("%q is read as\n%s\nby yaml.v3 as\n%s\n%s", text, got, want, problems)
	}
	return true
}

// Every line of this is plain, and each means what yaml.v3 says.
func TestPlain(t *testing.T) {
	for _, text := range []string{
		"rootfs: /srv\n", "a: b", "a: b # c", "a:   b   \n\n", "# c\na: b\n  # d\n", "a: 'b'", "a: \"b\" # c", "a: \"\"", "a: '\\n'", "a: \"it's\"", "a: b'c\"d",
		"a: 1", "a: 0", "a: -v", "a: -1", "a: -500", "a:", "a:\nb:\n  c: # d\ne:\n", "a: {}\nb:", "a:\n  - b:\n  - c:\n", "a: 0.5", "a: 12.5", "a: 64m", "a: 1h30m", "a: 10.0.0.1", "a: 10.0.0.1:80", "a: true", "a: False", "a: null", "a: yes", "a: 80:80",
		"a: 2001:db8::1", "a: 1G", "a: ./b", "a: ../b", "a: $B", "a: ${B:-c}", "a: b:c", "a: b#c", "a: b c  d",
		"a: [b, \"c\", 'd', 1, true]", "a: []", "a: {}", "a: [ b , c ]", "a: {b: c, d: 1}", "a: [{b: c}, [d]]", "a: {b: [c, d]} # e", "a: [-g, daemon off;]",
		"a:\n- b\n- c\nd: e", "a:\n  - b\n  - c\nd: e", "a:\n  b: c\n  d:\n    e: f\ng: h", "a:\n  - b: c\n    d: e\n  - b: f\ng: h", "a: # c\n  b: c\n", "a:\n  - b:\n    - c\n    - d\n    e: f",
		"80: b\ntrue: c\n", "a.b/c-d: e", "x-a: b", "a:\n    b: c\nd:\n  e: f", "a:\n  - \"80:80\" # b\n  # c\n  - 443:443\n", "a:\n\n  - b\n\n\n  - c\n\nd: e\n", "a:\n  -  b: c\n     d: e",
		"a: -c", "a: -fd", "a: -e1", "a: 0-3", "a: 8080-8090", "a: 2001-01-01", "a: 1.5.2", "a: 2001-01-01 10:00:00", "a:\n  - -c\n  - -e",
		"---\na: b", "# c\n---\n\na: b", "a: \"b\\n\"", "a: \"\\\"b\\\\\\t\"", "a: [\"b\\\"\", 'c''d', '''']", "a: 'b''c'",
		"# é\na: b # ü\n", "a: é", "a: bé\nc: d # é", "a: [é, ü, b]", "a: {b: \"ö ü\", c: 'ß'}", "a: 1é\nb: -é\nc: 'é' # d", "a:\n  - é\n  - {b: é, c: 日本}\n", "a: |\n  é\n   ü # d\nb: 🐧\n", "a: ./é",
		"a: |\n  b\n    c # d\n\n  e: f\ng: h\n", "a: |-\n  b\n\n", "a:\n  - |\n    b\n  - c: |\n      d\n    e: f\n",
	} {
		if !checkPlain(t, text) {
			t.Errorf("%q is left to yaml.v3", text)
		}
	}
}

// What is not plain, or is a fault, is left to yaml.v3.
func TestNotPlain(t *testing.T) {
	for _, text := range []string{
		"", "# a", "a", "- a", "[a]", "{a: b}", " a: b", "a: b\na: c", "a: &b c", "a: *b", "a: !reset b", "a: |\n  b", "a: |+\n  b\n", "a: |2\n  b\n", "a: |\n  b\n c\n", "a: |\n\n  b\n", "a: |\n  b\n   \n", "a: |\n  b\n # c\n", "a: |\nb: c\n", "a: |", "a: >\n  b\n", "a: b\n  c", "a: b: c", "a: \"b\\r\"", "a: \"b\\x41\"", "a: \"b\\ c\"", "a: \"b\\/c\"", "a: \"b\\", "a: \"b\\\"", "a: 'b''", "a: \"b\"\"c\"",
		"a: b\n--- \nc: d", "---\n---\na: b", "--- # c\na: b", "--- a: b", " ---\na: b", "---\na: b\n---\n", "---\n", "%YAML 1.1\n---\na: b", "a: b\n...\n", "a:\tb", "a: b\r\n", "a: b\u0085c", "a: b\u2028c", "a: \u2029", "a: b\u00a0", "\ufeffa: b", "a: b # \ufeff", "é: b", "a:\u00a0b", "a: \"\\u00e9\"", "? a\n: b", "<<: b", "null: b", "~: b", "a: ~", "a: 0x1f", "a: 0777", "a: 1_000", "a: 1e3", "a: .5", "a: +1", "a: -01", "a: -.5", "a: -0x1", "a: 1e-3", "a: 1_0", "a: 5.", "a: 12345678901234567890", "a: -_1",
		"a: [b", "a: [b]]", "a: [b,]", "a: [b,\n c]", "a: {b}", "a: {b: }", "a: \"b\"c", "a: \"b\": c", "a: [b: c]", "a: [? b]", "a: @b", "a: `b`", "a: %b", "a: -", "a: - b",
		"a:\n  b: c\n d: e", "a:\n  - b\n c: d", "a: b\n  c: d", "a:\n  - b\n  c: d", "a:\n- - b", "a:\n-\n  b", "\"a\": b", "a : b", "a:b", strings.Repeat("a: [", 20), "a: [b #c\n]",
	} {
		if readPlain([]byte(text), 0, &trees{}) != nil {
			t.Errorf("%q is not left to yaml.v3", text)
		}
	}
}

// plainCorpus is every definition of the tests and the examples.
func plainCorpus(t testing.TB) (texts []string) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/faults/*.yaml", "../../examples/*/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				continue // a directory, as a case of its own
			}
			texts = append(texts, string(data))
		}
	}
	texts = append(texts, "---\ncommand: [sh, \"-c\", \"echo \\\"a\\\" \\\\ \\n\", 'it''s']\n", "# für é\nrootfs: /srv/ä # ö\ncommand: [ü, \"日本 語\", 'ß', -é]\nenvironment:\n  A: é b\nlabels:\n  - a=ü\n  - {b: é, c: 日本}\nx-a: |\n  é\n   🐧\nx-b: c\n")
	if len(texts) < 15 {
		t.Fatalf("%d files", len(texts))
	}
	return texts
}

// TestPlainMutations takes every file of the tests, and every one with a byte
// left out, doubled, or replaced by one that means something to YAML.
func TestPlainMutations(t *testing.T) {
	plain, all := 0, 0
	for _, text := range plainCorpus(t) {
		if len(text) > 1500 {
			text = text[:strings.LastIndexByte(text[:1500], '\n')+1]
		}
		if checkPlain(t, text) {
			plain++
		}
		for i := range len(text) {
			with := []string{"", text[i:i+1] + text[i:i+1], " ", "\n", ":", "#", "-", ",", "\"", "]", "\n ", ": ", "0", "."}
			all++
			checkPlain(t, text[:i]+with[all%len(with)]+text[i+1:])
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d files are plain, %d mutations were tried", plain, all)
	if plain < 10 {
		t.Errorf("%d files are plain", plain)
	}
}

// FuzzPlain: yaml.v3 says what YAML means.
func FuzzPlain(f *testing.F) {
	for _, text := range plainCorpus(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkPlain(t, text) })
}
