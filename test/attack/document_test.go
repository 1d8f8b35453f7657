// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of attacks in docs/SECURITY-MODEL.md")

const (
	document = "../../docs/SECURITY-MODEL.md"
	heading  = "| attack | found as | test | without the protection |\n|---|---|---|---|\n"
)

// table is what the document prints: all attacks of this package and elsewhere.
func table() string {
	var b strings.Builder
	names := func(list string) string { return "`" + strings.ReplaceAll(list, ",", "`, `") + "`" }
	for _, a := range attacks {
		without := "it works: " + a.laxly
		if a.off != "" {
			without = "it works: " + names(a.off)
		}
		fmt.Fprintf(&b, "| %s | %s | `TestAttacks/%s` | %s |\n", a.what, a.rows, a.name, without)
	}
	for _, o := range others {
		without := o.without
		if o.off != "" {
			without = "the first test fails: " + names(o.off)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", o.what, o.rows, o.tests, without)
	}
	for _, a := range absent {
		what, why, _ := strings.Cut(a.why, ": ")
		fmt.Fprintf(&b, "| %s | %s | none | %s |\n", what, a.rows, why)
	}
	return b.String()
}

func TestDocumentHasTheAttacks(t *testing.T) {
	text := contents(t, document)
	before, rest, found := strings.Cut(text, heading)
	got, after, _ := strings.Cut(rest, "\n\n")
	if !found {
		t.Fatal("docs/SECURITY-MODEL.md has no table of attacks")
	}
	if want := strings.TrimSuffix(table(), "\n"); got != want {
		if *update {
			must(t, os.WriteFile(document, []byte(before+heading+want+"\n\n"+after), 0o644))
			return
		}
		t.Errorf("docs/SECURITY-MODEL.md: the table of attacks is another: go test ./test/attack -run Document -update\n%s", table())
	}
}

// Each test that the table names exists, where it says.
func TestNamedTestsExist(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, o := range others {
		for part := range strings.SplitSeq(o.tests, "; ") {
			pkg, tests, _ := strings.Cut(part, " ")
			files, err := filepath.Glob("../../" + pkg + "/*_test.go")
			must(t, err)
			have := map[string]bool{}
			for _, file := range files {
				for _, match := range declared.FindAllStringSubmatch(contents(t, file), -1) {
					have[match[1]] = true
				}
			}
			for name := range strings.SplitSeq(tests, ", ") {
				if !have[name] {
					t.Errorf("%s has no %s", pkg, name)
				}
			}
		}
		if (o.off == "") == (o.without == "") {
			t.Errorf("%s: it is said twice, or not at all, how its test is known to bite", o.rows)
		}
	}
	seen := map[string]bool{}
	for _, a := range attacks {
		if (a.off == "") == (a.lax == nil) || seen[a.name] {
			t.Errorf("%s: it has two protections, or none, or the name of another", a.name)
		}
		seen[a.name] = true
	}
}
