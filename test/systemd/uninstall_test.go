// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// installer is what `make install` and `make uninstall` call.
func installer(t *testing.T, verb string) string {
	t.Helper()
	return must(t, "../../packaging/installer", verb, "", "/usr/local", "/usr/local/lib/unitc", "/usr/local/lib/systemd")
}

// traces are all files that bear our name, the tests' own apart, and all units
// that systemd knows of.
func traces(t *testing.T) string {
	t.Helper()
	files := must(t, "find", "/usr", "/etc", "/run", "/var/lib", "-xdev", "-not", "-path", "*unitc-lab*", "-name", "*unitc*")
	units := must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "*unitc*", "traced*", "loose@*")
	return strings.TrimSpace(files + units)
}

// setAside moves a directory away for the time of the test.
func setAside(t *testing.T, dir string) {
	t.Helper()
	aside := dir + ".aside-unitc-lab"
	err := os.Rename(dir, aside)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		must(t, "rm", "-rf", dir)
		must(t, "mv", aside, dir)
	})
}

// keepInstall brings back what a test removes: what is installed, definitions
// and images.
func keepInstall(t *testing.T) {
	t.Helper()
	must(t, "cp", "-a", "/usr/local", "/root/usr-local")
	for _, dir := range []string{"/etc/unitc", "/var/lib/unitc"} {
		setAside(t, dir)
	}
	t.Cleanup(func() {
		must(t, "cp", "-a", "/root/usr-local/.", "/usr/local")
		must(t, "rm", "-rf", "/root/usr-local")
		must(t, "systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/unitc.conf")
		reload(t)
	})
}

func TestUninstallLeavesNoTrace(t *testing.T) {
	keepInstall(t)
	const definition = "rootfs: host\ncommand: [sleep, infinity]\nstop_signal: SIGKILL\n"
	for _, name := range []string{"traced", "loose@"} {
		place(t, "/etc/unitc/"+name+".yaml", definition)
	}
	reload(t)
	must(t, "unitc", "enable", "traced")
	must(t, "systemctl", "start", "traced", "loose@1")

	if out := installer(t, "uninstall"); !strings.Contains(out, "kept /etc/unitc") {
		t.Errorf("definitions are kept, but nobody is told: %q", out)
	}
	if _, err := os.Stat("/etc/unitc/traced.yaml"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"traced", "loose@"} {
		if err := os.Remove("/etc/unitc/" + name + ".yaml"); err != nil {
			t.Fatal(err)
		}
	}
	installer(t, "uninstall")
	if left := traces(t); left != "" {
		t.Errorf("uninstall leaves:\n%s", left)
	}
	for _, unit := range []string{"traced.service", "loose@1.service", "unitc.slice"} {
		if got := property(t, unit, "ActiveState"); got != "inactive" {
			t.Errorf("%s is %s", unit, got)
		}
	}
	if out, _ := command(t, "pgrep", "-a", "sleep"); strings.Contains(out, "sleep infinity") {
		t.Errorf("payloads are left: %s", out)
	}
}
