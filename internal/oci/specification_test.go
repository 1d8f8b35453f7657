// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// otherSystems are the fields that Linux has no use for: config.md marks them,
// and a runtime that reads them here would be wrong.
var otherSystems = map[string]string{
	"Spec.Solaris": "config-solaris.md", "Spec.Windows": "config-windows.md", "Spec.VM": "config-vm.md", "Spec.ZOS": "config-zos.md", "Spec.FreeBSD": "config-freebsd.md",
	"User.Username": "config.md, \"Windows process\"", "Process.CommandLine": "config.md, \"Windows process\"",
}

// Each field that a configuration may have is named in the code that runs it, be
// it in a refusal: what is never read would be dropped in silence. A newer
// specification's fields fail here first. Names are compared and not what is done:
// a field called as another one is (Type, Path) passes with it.
func TestEveryFieldOfTheSpecificationIsRead(t *testing.T) {
	selected := map[string]bool{}
	for _, room := range []string{"../oci", "../runtime", "../seccomp", "../launch"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					selected[s.Sel.Name] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for s.Kind() == reflect.Pointer || s.Kind() == reflect.Slice || s.Kind() == reflect.Map {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct || seen[s] {
			return
		}
		seen[s] = true
		for f := range s.Fields() {
			name := s.Name() + "." + f.Name
			if otherSystems[name] != "" {
				continue
			}
			if !f.Anonymous && !selected[f.Name] {
				t.Errorf("%s is never read: a container that asks for it would run without", name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[specs.Spec]())
	if len(seen) < 30 {
		t.Errorf("only %d structures were looked at", len(seen))
	}
}
