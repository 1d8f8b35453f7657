// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/entry"
)

// The programs under attack: as they are shipped, and the same source where
// UNITC_UNSAFE leaves protections away.
var shipped, unsafeBuild string // of the runtime

// programs are all that are attacked.
var programs = []string{"unitc-runtime", "unitc-relay", "unitc"}

// build is a program, as it is shipped where nothing is left away.
func build(name, off string) string {
	if off == "" {
		return filepath.Join(filepath.Dir(shipped), name)
	}
	return filepath.Join(filepath.Dir(unsafeBuild), name)
}

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
	if err := compile(dir, "", entry.Symbol); err != nil {
		return 0, err
	}
	// It begins where Go has it: what seals before Go's start cannot be off.
	if err := compile(dir+"/unsafe", "unsafe_attack", ""); err != nil {
		return 0, err
	}
	tests, err := static(dir)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(tests, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// static is this binary, or the same without a linker to look for where `go test`
// has made another one: it is the payload, in a root file system that has none.
func static(dir string) (string, error) {
	const own = "/proc/self/exe"
	f, err := elf.Open(own)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return own, nil
	}
	cmd := exec.Command("go", "test", "-c", "-o", dir+"/attack.test", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building these tests: %w\n%s", err, out)
	}
	return dir + "/attack.test", nil
}

// compile makes the programs as `make` does; the runtime begins at a symbol.
func compile(dir, tags, begin string) error {
	runtime := "github.com/unitc/unitc/cmd/unitc-runtime=-s -w"
	if begin != "" {
		runtime += " -E " + begin
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-ldflags=" + runtime, "-tags", tags, "-o", dir + "/"}
	for _, name := range programs {
		args = append(args, "../../cmd/"+name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}
