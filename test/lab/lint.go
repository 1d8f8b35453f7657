// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// checks are what a change has to pass before any test is run. Tools come from
// a module of their own, so that their dependencies are not ours.
var checks = []struct {
	name    string
	command []string
	// silent: any output is a fault (gofmt -l exits with 0 whatever it finds).
	silent bool
}{
	{"gofmt", []string{"gofmt", "-l", "."}, true},
	{"no file above 1 MB: what is built does not belong here", []string{"sh", "-c", "git ls-tree -rl HEAD 2>/dev/null | awk '$4 > 1000000'"}, true},
	{"go vet", []string{"go", "vet", "-tags", "lab", "./..."}, false},
	{"go vet, protections off", []string{"go", "vet", "-tags", "unsafe_attack", "./internal/..."}, false},
	{"staticcheck", []string{"go", "tool", "-modfile=tools/go.mod", "staticcheck", "-tags", "lab", "./..."}, false},
	// What has assembly and raw system calls links on the other processor too.
	{"arm64", []string{"env", "GOARCH=arm64", "go", "build", "./cmd/unitc-exec", "./cmd/unitc-runtime", "./cmd/unitc-generator", "./cmd/unitc-generator-yaml", "./cmd/unitc-relay"}, false},
}

func (r *testRun) lint(string) error { return lint(r.source) }

func cmdLint([]string) error {
	source, err := sourceDir()
	if err != nil {
		return err
	}
	return lint(source)
}

func lint(source string) error {
	var faults []error
	for _, check := range checks {
		cmd := exec.Command(check.command[0], check.command[1:]...)
		cmd.Dir = source
		out, err := cmd.CombinedOutput()
		if err == nil && check.silent && len(bytes.TrimSpace(out)) > 0 {
			err = errors.New("these files do not pass")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w\n%s", check.name, err, strings.TrimSpace(string(out))))
		}
	}
	return errors.Join(append(faults, vulnerabilities(source))...)
}

// vulnerabilities needs a database that only the network has, or GOVULNDB.
func vulnerabilities(source string) error {
	if os.Getenv("GOVULNDB") == "" {
		fmt.Println("govulncheck: not run: GOVULNDB names no copy of the vulnerability database")
		return nil
	}
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "govulncheck", "-db", os.Getenv("GOVULNDB"), "./...")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("govulncheck: %w\n%s", err, out)
	}
	return nil
}
