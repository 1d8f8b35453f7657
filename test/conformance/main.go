// SPDX-License-Identifier: Apache-2.0

// Command conformance runs the validation programs of opencontainers/runtime-tools,
// which nobody here wrote, on unitc-runtime, runc and crun in a machine of the
// lab, and prints a table:
//
//	go run -C test/conformance . [-vm] [-own] SUITE [PROGRAM...]
//	go run -C test/conformance . -build DIR
//
// -own leaves the peers out. -build compiles those programs which unitc-runtime
// passes by RESULTS.md, for the test that no row of it is lost.
//
// It is a module of its own: nothing of it is linked into unitc.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	_ "github.com/opencontainers/runtime-tools/validation/util" // pins the module
)

const tools = "github.com/opencontainers/runtime-tools"

func main() {
	vm := flag.Bool("vm", false, "in a VM")
	own := flag.Bool("own", false, "without the peers")
	dir := flag.String("build", "", "compile what is passed into `DIR`, and run nothing")
	flag.Parse()
	var err error
	switch {
	case *dir != "" && flag.NArg() == 0:
		err = buildPassed(*dir)
	case *dir == "" && flag.NArg() > 0:
		err = run(*vm, *own, flag.Arg(0), flag.Args()[1:])
	default:
		err = errors.New("usage: conformance [-vm] [-own] SUITE [PROGRAM...] | -build DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs the named programs, or all.
func run(vm, own bool, suite string, names []string) error {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir, names); err != nil {
		return err
	}
	verb, script := "run", []string{"/root/conformance/inside.sh"}
	if vm {
		verb = "vm"
	}
	if own {
		script = append([]string{"env", "RUNTIMES=/usr/local/bin/unitc-runtime"}, script...)
	}
	args := append([]string{verb, "-copy", dir + ":/root/conformance", suite, "--"}, append(script, names...)...)
	cmd := exec.Command("bin/lab", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "../..", os.Stdout, os.Stderr
	return cmd.Run()
}

// ownPass is a row of the first table of RESULTS.md.
var ownPass = regexp.MustCompile(`(?m)^\| ([a-z_]+) \| pass \| `)

func buildPassed(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	table, err := os.ReadFile("RESULTS.md")
	if err != nil {
		return err
	}
	theirs, _, _ := bytes.Cut(table, []byte("## Cases of our own"))
	var names []string
	for _, row := range ownPass.FindAllSubmatch(theirs, -1) {
		names = append(names, string(row[1]))
	}
	if len(names) == 0 {
		return errors.New("RESULTS.md: no row that is passed")
	}
	return build(dir, names)
}

// build compiles programs, all if none is named, into a directory, with what
// they need.
func build(dir string, names []string) error {
	source, err := output("go", "list", "-m", "-f", "{{.Dir}}", tools)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		programs, err := filepath.Glob(source + "/validation/*/*.go")
		if err != nil {
			return err
		}
		for _, p := range programs {
			if name := filepath.Base(filepath.Dir(p)); name != "util" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	packages := []string{tools + "/cmd/runtimetest"}
	for _, name := range names {
		packages = append(packages, tools+"/validation/"+name)
	}
	// The directory's own form: with one package -o would be a file.
	if _, err := output("go", append([]string{"build", "-ldflags=-s -w", "-o", dir + "/"}, packages...)...); err != nil {
		return err
	}
	const root = "rootfs-amd64.tar.gz"
	if err := copyFile(filepath.Join(dir, root), filepath.Join(source, root), 0o644); err != nil {
		return err
	}
	return copyFile(filepath.Join(dir, "inside.sh"), "inside.sh", 0o755)
}

func copyFile(to, from string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
