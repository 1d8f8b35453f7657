// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(pullerVariable) != "" {
		fmt.Fprintln(os.Stderr, pullForever())
		os.Exit(1)
	}
	if os.Getenv("UNITC_LAB") != "vm" {
		fmt.Fprintln(os.Stderr, "these tests reboot the machine they run on; start them with bin/lab gotest -vm SUITE ./test/vm")
		os.Exit(1)
	}
	status := m.Run()
	for _, prepare := range beforeReboot {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = max(status, 1)
		}
	}
	os.Exit(status)
}

// beforeReboot runs after all tests of a boot: what would make every reload of
// theirs slow, and is for the next boot only.
var beforeReboot []func() error

// run returns what a command printed; a test that cannot run it is over.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// phases runs one function in each boot, for tests named TestBoot…: all of them
// have their first phase in the first boot, then the machine is rebooted for
// those that have another. It is the call to end such a test with.
func phases(t *testing.T, boots ...func(t *testing.T)) {
	t.Helper()
	if !strings.HasPrefix(t.Name(), "TestBoot") {
		t.Fatalf("the lab runs no test after a reboot that is not named TestBoot…, as %s", t.Name())
	}
	n, err := strconv.Atoi(os.Getenv("UNITC_LAB_BOOT"))
	if err != nil {
		t.Fatal(err)
	}
	done := filepath.Join("/var/lib/unitc-lab/phases", t.Name())
	if n > 1 {
		// Absent after a phase that failed: the lab has counted that already.
		b, err := os.ReadFile(done)
		if err != nil || string(b) != strconv.Itoa(n-1) {
			return
		}
	}
	if n > len(boots) {
		return
	}
	boots[n-1](t)
	if t.Failed() || t.Skipped() || n == len(boots) {
		return
	}
	writeDown(t, done, strconv.Itoa(n))
	if _, err := os.Stat("/run/unitc-lab/reboot"); err != nil { // another's may be a reset
		writeDown(t, "/run/unitc-lab/reboot", "")
	}
}

// writeDown writes what a power cut must not take.
func writeDown(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
