// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/searchpath"
)

var update = flag.Bool("update", false, "rewrite the golden trees in testdata")

// host is a root directory with definitions, made of text.
type host struct {
	t    *testing.T
	root string
	out  string
	log  diag.List
}

func newHost(t *testing.T, files map[string]string) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir(), out: t.TempDir()}
	for path, content := range files {
		h.place(path, content)
	}
	return h
}

// place writes a file; a content "-> x" is a link.
func (h *host) place(path, content string) {
	h.t.Helper()
	path = filepath.Join(h.root, path)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if target, isLink := strings.CutPrefix(content, "-> "); err == nil && isLink {
		err = os.Symlink(target, path)
	} else if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) run(parse func(searchpath.Source) definition.File) string {
	h.t.Helper()
	h.log = nil
	err := Run(Config{
		Root: h.root, OutDir: h.out, Helper: "/usr/local/lib/unitc/unitc-exec", Parse: parse,
		Report: func(p diag.Problem) { h.log = append(h.log, p) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return dumpTree(h.t, h.out)
}

// dumpTree is a directory as text: mode, name and content of every file.
func dumpTree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch entry.Type() {
		case fs.ModeDir:
			fmt.Fprintf(&b, "== %s/ %v\n", name, info.Mode().Perm())
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			fmt.Fprintf(&b, "== %s -> %s\n", name, target)
			return err
		case 0:
			data, err := os.ReadFile(path)
			fmt.Fprintf(&b, "== %s %v\n%s", name, info.Mode().Perm(), data)
			return err
		default:
			t.Errorf("%s is a %v", path, entry.Type())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), dir, "OUT")
}

// files gives one definition for each name, without YAML.
func files(table map[string]definition.File) func(searchpath.Source) definition.File {
	return func(src searchpath.Source) definition.File {
		f := table[src.Name]
		f.Name, f.Path = src.Name, src.Path
		for i := range f.Services {
			s := &f.Services[i]
			if s.Name == "" {
				s.Name = src.Name
			}
			s.Source.File = src.Path
		}
		return f
	}
}

func one(s definition.Service) definition.File {
	return definition.File{Services: []definition.Service{s}}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}
