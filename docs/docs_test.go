// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documents to what the code does: every YAML block is
// read as a definition, every link leads somewhere, every verb and flag stands
// in the manual.
package docs

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"gopkg.in/yaml.v3"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/schema"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

// documents are the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"../*.md", "*.md", "man/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	if len(list) < 6 {
		t.Fatalf("only %d documents: %q", len(list), list)
	}
	return list
}

// block is a fenced block of a document.
type block struct {
	file, info, text string
	line             int // of its first line of text
}

func blocks(t *testing.T, path string) []block {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []block
	var open *block
	number := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		number++
		line := lines.Text()
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{file: path, info: fence, line: number + 1}
		case isFence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block is not closed", path, open.line-1)
	}
	return list
}

var pathComment = regexp.MustCompile(`^# ((?:/etc/unitc|~/\.config/unitc)/([^/]+)\.yaml(\.d/[^/]+\.yaml)?)\n`)

// Blocks of YAML begin with their path, as in "# /etc/unitc/web.yaml"; a
// drop-in is merged into the definition before it. What is marked "yaml broken"
// must have an error. The others are right for the JSON Schema, too.
func TestYAMLBlocks(t *testing.T) {
	count := 0
	valid := validator(t)
	for _, path := range documents(t) {
		sources := map[string]searchpath.Source{}
		for _, b := range blocks(t, path) {
			kind, isYAML := strings.CutPrefix(b.info, "yaml")
			if !isYAML {
				continue
			}
			count++
			m := pathComment.FindStringSubmatch(b.text)
			if m == nil {
				t.Errorf("%s:%d: the block does not begin with its path, as in `# /etc/unitc/web.yaml`", b.file, b.line)
				continue
			}
			src := sources[m[2]]
			if m[3] == "" {
				src = searchpath.Source{Name: m[2], Path: m[1], Dir: "/etc/unitc"}
			}
			src.Layers = append(slices.Clone(src.Layers), searchpath.Layer{Path: m[1], Data: []byte(b.text)})
			sources[m[2]] = src
			file := loader.Parse(src, library.Full)
			if strings.HasPrefix(m[1], "~") {
				file.ForUser()
			}
			b.expect(t, strings.TrimSpace(kind), file)
			if kind == "" && !strings.HasSuffix(m[2], ".network") {
				if err := valid([]byte(b.text), m[3] != ""); err != nil {
					t.Errorf("%s:%d: the block is not valid by the JSON Schema: %v", b.file, b.line, err)
				}
			}
		}
	}
	if count == 0 {
		t.Error("no document has a block of YAML")
	}
}

// validator holds a definition to the JSON Schema.
func validator(t *testing.T) func(text []byte, dropIn bool) error {
	t.Helper()
	data, err := schema.Generate()
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
	return func(text []byte, dropIn bool) error {
		var tree map[string]any
		if err := yaml.Unmarshal(text, &tree); err != nil {
			return err
		}
		if _, project := tree["services"]; dropIn && !project {
			tree["rootfs"] = "host" // what the definition has
		}
		data, err := json.Marshal(tree)
		if err != nil {
			return err
		}
		var value any
		if err := json.Unmarshal(data, &value); err != nil {
			return err
		}
		return resolved.Validate(value)
	}
}

// The examples are right for editors, too.
func TestExamplesAreValid(t *testing.T) {
	valid := validator(t)
	files, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("the examples are %q, %v", files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(text, false); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func (b block) expect(t *testing.T, kind string, file definition.File) {
	t.Helper()
	switch kind {
	case "":
		if file.Problems.HasErrors() {
			t.Errorf("%s:%d: the block has problems:\n%s", b.file, b.line, file.Problems)
		}
	case "broken":
		if !file.Problems.HasErrors() {
			t.Errorf("%s:%d: the block is marked as broken and is not", b.file, b.line)
		}
	default:
		t.Errorf("%s:%d: %q is no kind of block", b.file, b.line, b.info)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if target := m[1]; !strings.Contains(target, "://") {
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
					t.Errorf("%s: a link leads nowhere: %v", path, err)
				}
			}
		}
	}
}

var sourcePath = regexp.MustCompile("`((?:internal|cmd|test|packaging|docs|examples)(?:/[A-Za-z0-9_.-]+)*)`")

// A document that names a file which was moved sends its reader astray.
func TestPathsExist(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sourcePath.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s names what is not there: %v", path, err)
			}
		}
	}
}

// Whoever looks for the place of a change finds every room in the table.
func TestEveryRoomIsInTheArchitecture(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := filepath.Glob("../internal/*")
	if err != nil || len(rooms) == 0 {
		t.Fatalf("no rooms: %v", err)
	}
	for _, room := range rooms {
		if name := strings.TrimPrefix(room, "../"); !strings.Contains(string(text), "`"+name) {
			t.Errorf("ARCHITECTURE.md does not say what %s is for", name)
		}
	}
}
