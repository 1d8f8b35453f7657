// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

func TestMachineIsSystemd(t *testing.T) {
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(comm)); got != "systemd" {
		t.Errorf("PID 1 is %q", got)
	}
	if got, _ := command(t, "systemctl", "is-system-running", "--wait"); got != "running\n" {
		t.Errorf("the system is %s:\n%s", got, must(t, "systemctl", "--failed", "--no-legend"))
	}
}

func TestInstalledFiles(t *testing.T) {
	for path, mode := range map[string]os.FileMode{
		"/usr/local/bin/unitc":                                     0o755,
		"/usr/local/lib/unitc/unitc-exec":                          0o755,
		"/usr/local/lib/systemd/system-generators/unitc-generator": 0o755,
		"/usr/local/lib/unitc/unitc-generator-yaml":                0o755,
		"/usr/local/lib/systemd/system/unitc.slice":                0o644,
		"/usr/local/lib/tmpfiles.d/unitc.conf":                     0o644,
		"/etc/unitc":                                               os.ModeDir | 0o755,
		// Made at boot, by systemd-tmpfiles.
		"/run/unitc": os.ModeDir | 0o700,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
}

func TestSliceLoads(t *testing.T) {
	if got := property(t, "unitc.slice", "LoadState"); got != "loaded" {
		t.Errorf("unitc.slice is %s", got)
	}
	if out := must(t, "systemd-analyze", "verify", "--man=no", "/usr/local/lib/systemd/system/unitc.slice"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}
