// SPDX-License-Identifier: Apache-2.0

// Command conformance runs the validation programs of opencontainers/runtime-tools,
// which nobody here wrote, on unitc-runtime, runc and crun in a machine of the
// lab, and prints a table:
//
//	go run -C test/conformance . [-vm] SUITE [PROGRAM...]
//
// It is a module of its own: nothing of it is linked into unitc.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "github.com/opencontainers/runtime-tools/validation/util" // pins the module
)

const tools = "github.com/opencontainers/runtime-tools"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: conformance [-vm] SUITE [PROGRAM...]")
	}
	verb := "run"
	if args[0] == "-vm" {
		verb, args = "vm", args[1:]
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, err := output("go", "list", "-m", "-f", "{{.Dir}}", tools)
	if err != nil {
		return err
	}
	programs, err := filepath.Glob(source + "/validation/*/*.go")
	if err != nil {
		return err
	}
	build := []string{"build", "-o", dir, tools + "/cmd/runtimetest"}
	seen := map[string]bool{"util": true}
	for _, p := range programs {
		name := filepath.Base(filepath.Dir(p))
		if !seen[name] {
			seen[name] = true
			build = append(build, tools+"/validation/"+name)
		}
	}
	if _, err := output("go", build...); err != nil {
		return err
	}
	archive, err := os.ReadFile(source + "/rootfs-amd64.tar.gz")
	if err != nil {
		return err
	}
	script, err := os.ReadFile("inside.sh")
	if err != nil {
		return err
	}
	for name, content := range map[string]struct {
		data []byte
		mode fs.FileMode
	}{"rootfs-amd64.tar.gz": {archive, 0o644}, "inside.sh": {script, 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, name), content.data, content.mode); err != nil {
			return err
		}
	}
	cmd := exec.Command("bin/lab", append([]string{verb, "-copy", dir + ":/root/conformance", args[0], "--", "/root/conformance/inside.sh"}, args[1:]...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "../..", os.Stdout, os.Stderr
	return cmd.Run()
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
