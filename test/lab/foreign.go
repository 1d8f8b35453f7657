// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// foreign is a machine with another processor, for the VM only: what differs
// there is the kernel's interface, not systemd.
var foreign = suite{name: "arm64", release: "trixie", arch: "arm64"}

// foreignTests are those of package test/vm that its lane runs: of each of the
// kernel's interfaces that differ between processors or are compiled for one, a
// test. Of the others a machine of this processor knows as much, of a boot with
// containers too: generator and helper have run there before each of these tests.
const foreignTests = "^Test(DevicesAreClosed|Privileged|ProgramsBegin|LogRelayOutlivesJournald|RuntimeLimits|WhyAsTheKernelSays)$"

// foreignVM emulates one. A newer processor signs its pointers, which takes the
// emulation half of its speed.
func foreignVM() (program string, args []string) {
	return "qemu-system-aarch64", []string{"-machine", "virt", "-cpu", "cortex-a72"}
}

// makeVariables have the Makefile build for that machine, beside what it builds
// for this one.
func (s suite) makeVariables() []string {
	if s.arch == "" {
		return nil
	}
	return []string{"GOARCH=" + s.arch, "BIN=" + s.bin()}
}

// bin is where programs for the suite's machines are built, in the checkout.
func (s suite) bin() string { return filepath.Join("bin", s.arch) }

// goEnv is the environment of the go command that builds for it.
func (s suite) goEnv() []string {
	env := append(os.Environ(), "CGO_ENABLED=0")
	if s.arch != "" {
		env = append(env, "GOARCH="+s.arch)
	}
	return env
}

func (s suite) isForeign() bool { return s.arch != "" && s.arch != runtime.GOARCH }

// makeForeignTree makes a tree without running a program of it: packages are
// unpacked, and what their scripts leave is that of the same packages in the
// native tree.
func (s suite) makeForeignTree(root, mirror string) error {
	like, err := findSuite(s.debian())
	if err != nil {
		return err
	}
	native, err := like.tree()
	if err != nil {
		return err
	}
	native = filepath.Join(native, "root")
	out, err := exec.Command("dpkg-query", "--admindir="+native+"/var/lib/dpkg", "-W", "-f", "${Package},").Output()
	if err != nil {
		return fmt.Errorf("listing the packages of %s: %w", native, err)
	}
	args := []string{
		"--quiet", "--variant=extract", "--architectures=" + s.arch, "--format=directory",
		"--include=" + string(out) + "linux-image-cloud-" + s.arch, "--aptopt=APT::Install-Recommends \"false\"",
	}
	for _, pattern := range treeExcludes {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	if err := quietly(nil, "mmdebstrap", append(args, s.debian(), root, mirror)...); err != nil {
		return err
	}
	if err := quietly(nil, "sh", "-c", `tar -C "$0" -c etc var | tar -C "$1" -x --skip-old-files`, native, root); err != nil {
		return err
	}
	if err := copyLinks(filepath.Join(native, "usr"), filepath.Join(root, "usr")); err != nil {
		return err
	}
	// Lists of the native machine's libraries; the loader finds its own without.
	if err := os.Remove(filepath.Join(root, "etc/ld.so.cache")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kernel := filepath.Join(root, "kernel")
	if err := os.MkdirAll(filepath.Join(kernel, "lib"), 0o755); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(root, "boot"), filepath.Join(kernel, "boot")),
		os.Rename(filepath.Join(root, "usr/lib/modules"), filepath.Join(kernel, "lib/modules")))
}

// copyLinks copies the symbolic links of programs that a tree lacks:
// update-alternatives(1) makes some.
func copyLinks(from, to string) error {
	for _, dir := range []string{"bin", "sbin"} {
		items, err := os.ReadDir(filepath.Join(from, dir))
		if err != nil {
			return err
		}
		for _, item := range items {
			if item.Type() != fs.ModeSymlink {
				continue
			}
			target, err := os.Readlink(filepath.Join(from, dir, item.Name()))
			if err != nil {
				return err
			}
			if err := os.Symlink(target, filepath.Join(to, dir, item.Name())); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// buildAgent compiles the lab for a VM that cannot run this one.
func (s suite) buildAgent(source string) (string, error) {
	agent := filepath.Join(source, s.bin(), "lab")
	build := exec.Command("go", "build", "-o", agent, "./test/lab")
	build.Dir, build.Env = source, s.goEnv()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the lab for %s: %w\n%s", s.arch, err, strings.TrimSpace(string(out)))
	}
	return agent, nil
}
