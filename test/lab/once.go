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
// systemd changes: such a test runs in the machine of onceSuite alone. With
// UNITC_LAB_SLOW=1, or where tests are chosen by name, it runs in all.
const (
	once      = "//lab:once"
	onceSuite = "trixie"
)

// onceTests lists the tests of a package that have the directive.
func onceTests(dir string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range tree.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if isFunc && strings.HasPrefix(f.Name.Name, "Test") && f.Doc != nil && slices.ContainsFunc(f.Doc.List, func(c *ast.Comment) bool { return c.Text == once }) {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names, err
}

// elsewhere lists what the lane of a suite leaves to that of onceSuite.
func elsewhere(dir, suiteName string) ([]string, error) {
	isOther := slices.ContainsFunc(suites, func(s suite) bool { return s.name == suiteName && s.name != onceSuite })
	if !isOther || os.Getenv("UNITC_LAB_SLOW") != "" {
		return nil, nil
	}
	return onceTests(dir)
}
