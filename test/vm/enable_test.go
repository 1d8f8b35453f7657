// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What an operator has enabled or disabled is so after the next boot, whatever
// the definitions say: links into a directory that is empty when systemd comes
// up, and is filled by the generator, hold.
func TestBootHeedsEnableAndDisable(t *testing.T) {
	const sleeper = "rootfs: host\ncommand: [sleep, infinity]\ninit: true\n"
	units := []struct{ name, text, verb, state string }{
		{"vm-plain", sleeper, "", "inactive"},
		{"vm-enabled", sleeper, "enable", "active"},
		{"vm-always", sleeper + "restart: always\n", "", "active"},
		{"vm-disabled", sleeper + "restart: always\n", "disable", "inactive"},
	}
	phases(t, func(t *testing.T) {
		for _, u := range units {
			if err := os.WriteFile("/etc/unitc/"+u.name+".yaml", []byte(u.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if u.verb != "" {
				run(t, "unitc", u.verb, u.name)
			}
		}
	}, func(t *testing.T) {
		if out, err := exec.Command("systemctl", "is-system-running", "--wait").Output(); err != nil {
			t.Errorf("the system is %s%s", out, run(t, "journalctl", "--boot", "--no-pager", "-o", "short-monotonic"))
		}
		for _, u := range units {
			// is-active exits with 3 where the answer is no.
			out, _ := exec.Command("systemctl", "is-active", u.name).Output()
			if got := strings.TrimSpace(string(out)); got != u.state {
				t.Errorf("%s is %s after the boot, not %s", u.name, got, u.state)
			}
		}
		for _, u := range units {
			run(t, "systemctl", "stop", u.name)
			if err := os.Remove("/etc/unitc/" + u.name + ".yaml"); err != nil {
				t.Error(err)
			}
		}
	})
}
