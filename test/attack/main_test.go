// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/entry"
)

// The two programs under attack: as it is shipped, and the same source where
// UNITC_UNSAFE leaves protections away.
var shipped, unsafeBuild string

const inside = "UNITC_ATTACK_INSIDE"

// TestMain builds the programs and goes on in namespaces of its own: an attack
// that succeeds must not reach the machine. The payload of the tests is this
// binary as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "payload" {
		os.Exit(payload(os.Args[2:]))
	}
	if isTrojan() {
		os.Exit(trojan())
	}
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (int, error) {
	if os.Getuid() != 0 {
		return 0, fmt.Errorf("these tests need root: run them as the test command of README.md does")
	}
	dir := os.Getenv(inside)
	if dir != "" {
		shipped, unsafeBuild = dir+"/unitc-runtime", dir+"/unsafe/unitc-runtime"
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return 0, fmt.Errorf("making / private: %w", err)
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "attack")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	if err := build(dir, "", entry.Symbol); err != nil {
		return 0, err
	}
	// It begins where Go has it: what seals before Go's start cannot be off.
	if err := build(dir+"/unsafe", "unsafe_attack", ""); err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// build makes a program as `make` does.
func build(dir, tags, begin string) error {
	flags := "-s -w"
	if begin != "" {
		flags += " -E " + begin
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags="+flags, "-tags", tags, "-o", filepath.Join(dir, "unitc-runtime"), "../../cmd/unitc-runtime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building unitc-runtime: %w\n%s", err, out)
	}
	return nil
}
