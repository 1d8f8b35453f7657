// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// once is the directive in the comment of a test whose outcome no version of
// systemd changes: such a test runs in the machine of onceSuite alone. others is that
// of a test which is a part of such a one, and runs in the machines of the others. With
// UNITC_LAB_SLOW=1, or where tests are chosen by name, they run in all.
const (
	once      = "//lab:once"
	others    = "//lab:others"
	onceSuite = "trixie"
)

// testsWith lists the tests of a package that have a directive.
func testsWith(directive, dir string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range tree.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if isFunc && strings.HasPrefix(f.Name.Name, "Test") && f.Doc != nil && slices.ContainsFunc(f.Doc.List, func(c *ast.Comment) bool { return c.Text == directive }) {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names, err
}

// elsewhere lists what the lane of a suite leaves to that of onceSuite, and the other
// way round.
func elsewhere(dir, suiteName string) ([]string, error) {
	if !slices.ContainsFunc(suites, func(s suite) bool { return s.name == suiteName }) || os.Getenv("UNITC_LAB_SLOW") != "" {
		return nil, nil
	}
	if suiteName == onceSuite {
		return testsWith(others, dir)
	}
	return testsWith(once, dir)
}
