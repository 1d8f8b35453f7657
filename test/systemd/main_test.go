// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("UNITC_LAB") == "" {
		fmt.Fprintln(os.Stderr, "these tests change the machine they run on; start them with bin/lab gotest SUITE ./test/systemd")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// run returns what a command printed; a test that cannot run it is over.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// property asks systemd for one property of a unit.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--value", "--property="+name, unit)
}
