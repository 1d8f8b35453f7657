// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// building serializes what writes to bin/: lanes may run side by side.
var building sync.Mutex

// newTestJob compiles a package's tests and lays them out in the machine as
// they are in the checkout, so that paths to testdata and examples hold.
func newTestJob(source, pkg, suiteName string, vm bool, flags []string) (*job, error) {
	building.Lock()
	defer building.Unlock()
	s, err := findSuite(suiteName)
	if err != nil {
		return nil, err
	}
	binary, err := s.buildTests(source, pkg)
	if err != nil {
		return nil, err
	}
	j := &job{Suite: suiteName, Source: source, checkout: source, VM: vm, Dir: "/root/" + pkg}
	j.Copies = []string{binary + ":" + j.Dir + "/" + filepath.Base(binary)}
	for _, extra := range []string{pkg + "/testdata", "examples", "packaging"} {
		if _, err := os.Stat(filepath.Join(source, extra)); err == nil {
			j.Copies = append(j.Copies, filepath.Join(source, extra)+":/root/"+extra)
		}
	}
	if suiteName == daemons.name {
		if err := quietly(nil, "make", "-s", "-C", source, "packages"); err != nil {
			return nil, err
		}
		for _, name := range []string{"unitc.deb", "unitc.rpm"} {
			j.Copies = append(j.Copies, filepath.Join(source, "bin/package", name)+":/root/"+name)
		}
	}
	if pkg == "test/systemd" {
		unsafe, err := s.buildUnsafe(source)
		if err != nil {
			return nil, err
		}
		j.Copies = append(j.Copies, unsafe+":/opt/unitc-unsafe")
	}
	var programs []string
	if !s.isForeign() { // no test there asks for them
		if programs, err = buildC(source, pkg); err != nil {
			return nil, err
		}
		policies, err := buildPolicies(source, pkg)
		if err != nil {
			return nil, err
		}
		programs = append(programs, policies...)
	}
	if suiteName == engines.name {
		if err := errors.Join(buildCRI(source), buildConformance(source)); err != nil {
			return nil, err
		}
		j.Copies = append(j.Copies, filepath.Join(source, "bin/cri")+":/usr/local/bin/cri", filepath.Join(source, "bin/conformance")+":/root/conformance")
	}
	for _, program := range programs {
		j.Copies = append(j.Copies, program+":"+j.Dir+"/testdata/"+filepath.Base(program))
	}
	// After a reboot only those tests go on that asked for it.
	script := `[ "${UNITC_LAB_BOOT:-1}" = 1 ] || set -- "$@" -test.run=^TestBoot; exec ./"$0" "$@"`
	j.Command = append([]string{"sh", "-c", script, filepath.Base(binary)}, flags...)
	for _, name := range []string{"UNITC_LAB_SLOW", "UNITC_LAB_CUTS", "UNITC_OCI_PEERS"} {
		if value := os.Getenv(name); value != "" {
			j.Env = append(j.Env, name+"="+value)
		}
	}
	j.setEnv()
	return j, j.prepare()
}

// built is what this process has built by now: lanes share it.
var built = map[string]bool{}

// unlessBuilt builds what no lane before has built.
func unlessBuilt(what string, build func() error) error {
	if built[what] {
		return nil
	}
	err := build()
	built[what] = err == nil
	return err
}

// buildTests compiles a package's tests, without what a debugger needs, which takes the
// linker twice the time.
func (s suite) buildTests(source, pkg string) (binary string, err error) {
	tags, kind := "lab", cmp.Or(s.arch, "lab")
	if isExtra(s.name) {
		tags, kind = tags+","+s.name, s.name
	}
	binary = filepath.Join(source, "bin", filepath.Base(pkg)+"-"+kind+".test")
	return binary, unlessBuilt(binary, func() error {
		build := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-tags", tags, "-o", binary, "./"+pkg)
		build.Dir, build.Env = source, s.goEnv()
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("compiling the tests of %s: %w\n%s", pkg, err, out)
		}
		return nil
	})
}

// buildUnsafe compiles programs that leave protections away where a test of an
// attack says so (package protection), to see that the attack succeeds then.
func (s suite) buildUnsafe(source string) (dir string, err error) {
	dir = filepath.Join(source, s.bin(), "unsafe")
	return dir, unlessBuilt(dir, func() error {
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags", "unsafe_attack", "-o", dir+"/", "./cmd/unitc", "./cmd/unitc-exec")
		build.Dir, build.Env = source, s.goEnv()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building without protections: %w\n%s", err, out)
		}
		return nil
	})
}

// buildCRI compiles the client of containerd's interface for Kubernetes, which is
// a module of its own.
func buildCRI(source string) error {
	build := exec.Command("go", "build", "-o", filepath.Join(source, "bin/cri"), ".")
	build.Dir, build.Env = filepath.Join(source, "test/cri"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building test/cri: %w\n%s", err, out)
	}
	return nil
}

// buildConformance compiles those programs of runtime-tools that unitc-runtime
// passes.
func buildConformance(source string) error {
	build := exec.Command("go", "run", "-C", "test/conformance", ".", "-build", filepath.Join(source, "bin/conformance"))
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building test/conformance: %w\n%s", err, out)
	}
	return nil
}

// cPackages compile the C programs of tests.
var cPackages = []string{"gcc", "libc6-dev", "musl-tools"}

// buildC compiles each C program of a package's tests twice: NAME-glibc and
// NAME-musl.
func buildC(source, pkg string) (programs []string, err error) {
	files, _ := filepath.Glob(filepath.Join(source, pkg, "testdata", "*.c"))
	if len(files) == 0 {
		return nil, nil
	}
	if err := ensurePackages(cPackages); err != nil {
		return nil, err
	}
	for _, file := range files {
		name := filepath.Join(source, "bin", strings.TrimSuffix(filepath.Base(file), ".c"))
		// The suite's own glibc is linked when it runs; musl is in none of them.
		for _, build := range [][]string{{"cc", "-o", name + "-glibc"}, {"musl-gcc", "-static", "-o", name + "-musl"}} {
			program := build[len(build)-1]
			if err := unlessBuilt(program, func() error {
				return quietly(nil, build[0], append(build[1:], "-O2", "-Wall", "-Werror", file)...)
			}); err != nil {
				return nil, err
			}
			programs = append(programs, program)
		}
	}
	return programs, nil
}

// policyVersion is the newest that the kernels of all suites take.
const policyVersion = "33"

// buildPolicies compiles each SELinux policy of a package's tests to NAME.policy,
// with unitc's own module and with 1,024 categories, which the language has no short
// word for.
func buildPolicies(source, pkg string) (policies []string, err error) {
	files, _ := filepath.Glob(filepath.Join(source, pkg, "testdata", "*.cil"))
	if len(files) == 0 {
		return nil, nil
	}
	if err := ensurePackages([]string{"secilc"}); err != nil {
		return nil, err
	}
	var each, all strings.Builder
	for i := range 1024 {
		fmt.Fprintf(&each, "(category c%d)\n", i)
		fmt.Fprintf(&all, " c%d", i)
	}
	categories := filepath.Join(source, "bin/categories.cil")
	if err := os.WriteFile(categories, []byte(each.String()+"(categoryorder ("+all.String()+"))\n"), 0o644); err != nil {
		return nil, err
	}
	for _, file := range files {
		policy := filepath.Join(source, "bin", strings.TrimSuffix(filepath.Base(file), ".cil")+".policy")
		if err := unlessBuilt(policy, func() error {
			return quietly(nil, "secilc", "-c", policyVersion, "-o", policy, "-f", os.DevNull, file, categories, filepath.Join(source, "packaging/selinux/unitc.cil"))
		}); err != nil {
			return nil, err
		}
		policies = append(policies, policy)
	}
	return policies, nil
}

// cmdGotest is for those who write the tests: one package, one suite, all flags.
func cmdGotest(args []string) error {
	vm := len(args) > 0 && args[0] == "-vm"
	if vm {
		args = args[1:]
	}
	if len(args) < 2 {
		return errors.New("arguments: want [-vm] SUITE PACKAGE [-test.FLAG]")
	}
	source, err := sourceDir()
	if err != nil {
		return err
	}
	pkg := strings.TrimPrefix(filepath.Clean(args[1]), modulePath)
	j, err := newTestJob(source, pkg, args[0], vm, args[2:])
	if err != nil {
		return err
	}
	return j.run(os.Stdin, os.Stdout, io.Writer(os.Stderr))
}
