// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The specification's documents: those that were gone through, and those that
// speak of other systems, or to nobody.
var (
	auditedDocuments = []string{
		"spec.md", "bundle.md", "glossary.md", "principles.md", "runtime.md", "runtime-linux.md",
		"config.md", "config-linux.md", "features.md", "features-linux.md",
	}
	otherDocuments = []string{
		"config-freebsd.md", "config-solaris.md", "config-vm.md", "config-windows.md", "config-zos.md",
		"EMERITUS.md", "GOVERNANCE.md", "README.md", "RELEASES.md", "implementations.md", "style.md", "ChangeLog.md", "CONTRIBUTING.md", "MAINTAINERS.md", "SECURITY.md",
	}
)

const clauseTable = "../../test/conformance/CLAUSES.md"

// clauseRow is a row of the table: where, a digest of what stands there, our own
// words, what we found and what shows it.
var clauseRow = regexp.MustCompile(`(?m)^\| ([a-z-]+\.md#[A-Za-z-]+) (\d+)(?:-(\d+))? \| ([0-9a-f]{8}) \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$`)

// Each sentence of the specification that demands or advises something has one row
// in CLAUSES.md, and is worded as it was when it was looked at. A newer
// specification fails here with the clauses that are to be looked at.
func TestEveryClauseHasARow(t *testing.T) {
	clauses := specificationClauses(t)
	text, err := os.ReadFile(clauseTable)
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]int{}
	rows := clauseRow.FindAllStringSubmatch(string(text), -1)
	_, table, _ := strings.Cut(string(text), "\n|---|---|---|---|---|")
	if lines := strings.Count(table, "\n| "); lines != len(rows) {
		t.Errorf("%d of %d rows can be read", len(rows), lines)
	}
	for _, row := range rows {
		section, list := row[1], clauses[row[1]]
		first, _ := strconv.Atoi(row[2])
		last := first
		if row[3] != "" {
			last, _ = strconv.Atoi(row[3])
		}
		if first < 1 || last < first || last > len(list) {
			t.Errorf("%s %d-%d: the section has %d clauses", section, first, last, len(list))
			continue
		}
		if got := digest(list[first-1 : last]); got != row[4] {
			t.Errorf("%s %d-%d has another text than when it was looked at: %s, the table has %s", section, first, last, got, row[4])
		}
		for n := first; n <= last; n++ {
			covered[fmt.Sprintf("%s %d", section, n)]++
		}
	}
	for _, section := range slices.Sorted(maps.Keys(clauses)) {
		for i, clause := range clauses[section] {
			if n := covered[fmt.Sprintf("%s %d", section, i+1)]; n != 1 {
				t.Errorf("%s %d (%s) has %d rows: %.90s", section, i+1, digest([]string{clause}), n, clause)
			}
		}
	}
}

// verdicts of the table; the value tells whether something must show it.
var verdicts = map[string]bool{"held": true, "mended": true, "not followed": false, "author": false, "other system": false, "term": false}

// What the table says shows a clause is there: a test, a case of TestOCICases, or
// a program of runtime-tools that is passed.
func TestEveryClauseIsShown(t *testing.T) {
	text, err := os.ReadFile(clauseTable)
	if err != nil {
		t.Fatal(err)
	}
	tests, cases := testNames(t)
	results, err := os.ReadFile("../../test/conformance/RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range clauseRow.FindAllStringSubmatch(string(text), -1) {
		where := row[1] + " " + row[2]
		needed, known := verdicts[row[6]]
		if !known {
			t.Errorf("%s: verdict %q", where, row[6])
		}
		shown := strings.FieldsFunc(row[7], func(r rune) bool { return r == ';' })
		if needed && strings.TrimSpace(row[7]) == "" {
			t.Errorf("%s: nothing shows it", where)
		}
		for _, name := range shown {
			name = strings.TrimSpace(name)
			program, isProgram := strings.CutPrefix(name, "runtime-tools ")
			switch {
			case name == "", tests[name], cases[strings.Trim(name, `"`)]:
			case isProgram && strings.Contains(string(results), "\n| "+program+" | pass |"):
			default:
				t.Errorf("%s: there is no %s", where, name)
			}
		}
	}
}

func testNames(t *testing.T) (tests, cases map[string]bool) {
	t.Helper()
	tests, cases = map[string]bool{}, map[string]bool{}
	function, quoted := regexp.MustCompile(`(?m)^func (Test[A-Za-z]+)\(`), regexp.MustCompile(`\{"([^"]+)", (?:func\(b \*bundle\) error|[a-zA-Z]+\})`)
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range function.FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		if strings.HasPrefix(d.Name(), "oci_") {
			for _, m := range quoted.FindAllSubmatch(source, -1) {
				cases[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil || len(tests) == 0 || len(cases) == 0 {
		t.Fatalf("%d tests and %d cases were found: %v", len(tests), len(cases), err)
	}
	return tests, cases
}

func digest(clauses []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(clauses, "\n"))))[:8]
}

// specificationClauses are the sentences with a word of RFC 2119 that is more than
// a permission, by document and anchor of the heading.
func specificationClauses(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatalf("looking for the specification: %v", err)
	}
	dir := strings.TrimSpace(string(out))
	documents, err := filepath.Glob(dir + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	clauses := map[string][]string{}
	for _, path := range documents {
		name := filepath.Base(path)
		if slices.Contains(otherDocuments, name) {
			continue
		}
		if !slices.Contains(auditedDocuments, name) {
			t.Errorf("nobody has looked at %s", name)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text)) {
			for _, s := range sentences(b.text) {
				if demanding.MatchString(s) {
					clauses[name+"#"+b.section] = append(clauses[name+"#"+b.section], s)
				}
			}
		}
	}
	if len(clauses) < 60 {
		t.Fatalf("only %d sections of the specification have clauses", len(clauses))
	}
	return clauses
}

var (
	demanding = regexp.MustCompile(`\b(MUST|SHALL|SHOULD|REQUIRED|RECOMMENDED)\b`)
	anchor    = regexp.MustCompile(`name="([^"]+)"`)
	begins    = regexp.MustCompile("^([*>|-]|\\d+\\.|`[a-z]+` |\\[\\^)")
	notSlug   = regexp.MustCompile(`[^a-z0-9]+`)
)

type block struct{ section, text string }

// blocks are the paragraphs, list items and rows of tables; examples are none.
func blocks(text string) (list []block) {
	section, open, code := "", false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			code, open = !code, false
		case code:
		case strings.HasPrefix(line, "#"):
			open = false
			section = strings.Trim(notSlug.ReplaceAllString(strings.ToLower(strings.TrimLeft(line, "# ")), "-"), "-")
			if m := anchor.FindStringSubmatch(line); m != nil {
				section = m[1]
			}
		case line == "":
			open = false
		case !open || begins.MatchString(line):
			list, open = append(list, block{section, line}), true
		default:
			list[len(list)-1].text += " " + line
		}
	}
	return list
}

// ends is where one sentence ends and the next begins.
var ends = regexp.MustCompile("[.:]\\s+[A-Z`\\[(*]")

func sentences(text string) (list []string) {
	if strings.HasPrefix(text, "|") {
		return []string{text}
	}
	for {
		at := ends.FindStringIndex(text)
		if at == nil {
			return append(list, text)
		}
		list = append(list, text[:at[0]+1])
		text = text[at[1]-1:]
	}
}
