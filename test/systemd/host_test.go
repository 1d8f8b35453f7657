// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs a program and gives its output, both streams, and its status.
func command(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", "COLUMNS=1000")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must is command for what has to succeed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, status := command(t, name, args...)
	if status != 0 {
		t.Fatalf("%s %q exits with %d:\n%s", name, args, status, out)
	}
	return out
}

// property is one property of a unit, as systemctl prints it.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return strings.TrimSuffix(must(t, "systemctl", "show", "--value", "-p", name, "--", unit), "\n")
}

// place writes a file for the time of the test; a content "-> x" is a link.
func place(t *testing.T, path, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if target, isLink := strings.CutPrefix(content, "-> "); err == nil && isLink {
		err = os.Symlink(target, path)
	} else if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
}

// reload reads all definitions again, now and when the test is over.
func reload(t *testing.T) {
	t.Helper()
	must(t, "systemctl", "daemon-reload")
}

// cleanReload is registered before definitions are placed, so that it runs
// after they are gone.
func cleanReload(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { must(t, "systemctl", "daemon-reload") })
}
