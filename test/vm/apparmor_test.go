// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// hasAppArmor tells of the trees that have apparmor_parser(8).
func hasAppArmor() bool {
	suite := os.Getenv("UNITC_LAB_SUITE")
	return suite == "trixie" || suite == "arm64"
}

// tryAll is a payload with everything that stands before AppArmor taken away; it
// tells what it could do.
const tryAll = `rootfs: host
userns_mode: host
cap_add: [SYS_ADMIN, SYS_PTRACE]
security_opt: [seccomp=unconfined, systempaths=unconfined, no-new-privileges=false%s]
command:
- sh
- -c
- |
  mount -t tmpfs none /mnt 2>/dev/null && echo mounts
  mount -o remount,rw /sys 2>/dev/null && echo remounts
  (echo 5 >/proc/sys/kernel/printk_ratelimit) 2>/dev/null && echo writes
  cat /proc/sys/kernel/osrelease >/dev/null && echo reads
  echo "is $$(cat /proc/self/attr/apparmor/current)"
  exec sleep infinity
`

// Where the host has AppArmor and the profile, a container runs under it and is
// held by it alone; the one key takes it away, and then the same works.
func TestAppArmor(t *testing.T) {
	if !hasAppArmor() {
		if enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); strings.TrimSpace(string(enabled)) == "Y" {
			// AppArmor without the profile: a start goes without it too.
			c := define(t, "apparmor-none", "scope", sleeper)
			if got := c.profile(); got != "unconfined" {
				t.Errorf("the payload runs under %q", got)
			}
			return
		}
		t.Fatal("this kernel has no AppArmor")
	}
	if doctor := run(t, "unitc", "doctor"); !strings.Contains(doctor, "containers run under AppArmor's profile unitc-default") {
		t.Errorf("unitc doctor says nothing of the profile:\n%s", doctor)
	}
	tries := []string{"reads\nis unitc-default (enforce)", "mounts\nremounts\nwrites\nreads\nis unconfined"}
	list := place(t, definition{"apparmor-default", "scope", sleeper}, definition{"apparmor-privileged", "scope", sleeper + "privileged: true\nvolumes: ['/sys:/sys:ro']\ndevices: [/dev/kmsg]\n"},
		definition{"apparmor-wrong", "scope", sleeper + "security_opt: [apparmor=no-such-profile]\n"},
		definition{"apparmor-try", "scope", fmt.Sprintf(tryAll, "")}, definition{"apparmor-try-unconfined", "scope", fmt.Sprintf(tryAll, ", apparmor=unconfined")})
	c, privileged, wrong := list[0], list[1], list[2]
	c.start(t)
	if got := c.profile(); got != "unitc-default (enforce)" {
		t.Errorf("the payload runs under %q", got)
	}
	if got := run(t, "unitc", "exec", c.name, "cat", "/proc/self/attr/apparmor/current"); got != "unitc-default (enforce)" {
		t.Errorf("what joins it runs under %q", got)
	}
	privileged.start(t)
	if got := privileged.profile(); got != "unconfined" {
		t.Errorf("a privileged payload runs under %q", got)
	}
	// The host's own /sys, with all of its cgroups, as collectors of figures want it.
	if got := run(t, "unitc", "exec", privileged.name, "sh", "-c", "ls -d /sys/fs/cgroup/init.scope /dev/kmsg; touch /sys/x 2>&1 || echo read-only"); !strings.Contains(got, "init.scope") || !strings.Contains(got, "/dev/kmsg") || !strings.Contains(got, "read-only") {
		t.Errorf("a privileged payload with /sys sees\n%s", got)
	}
	for i, c := range list[3:] {
		c.start(t)
		said := c.awaitWord("is un")
		if !strings.Contains(said, tries[i]) {
			t.Errorf("the payload of %s\n%s\nwant\n%s", c.name, said, tries[i])
		}
	}
	// A profile that is not loaded stops the start, which names the cure.
	t.Cleanup(func() { _ = exec.Command("systemctl", "reset-failed", wrong.name).Run() })
	if out, err := exec.Command("systemctl", "start", wrong.name).CombinedOutput(); err == nil {
		t.Errorf("it was started: %s", out)
	}
	if status := wrong.show("StatusText"); !strings.Contains(status, "no profile of that name is loaded") {
		t.Errorf("STATUS= is %q", status)
	}
}

// refusing is a profile that refuses one file, and says so.
const refusing = `abi <abi/3.0>,
profile lab-refusing flags=(attach_disconnected,mediate_deleted) {
  capability,
  file,
  network,
  unix,
  signal,
  ptrace,
  audit deny /etc/hostname r,
}
`

// "LSM denial from the kernel log": what AppArmor has refused here is told by
// `unitc why`, with the rule that would allow it.
func TestWhyNamesWhatAppArmorRefused(t *testing.T) {
	if !hasAppArmor() {
		return // nothing there loads a profile
	}
	const profile = "/run/lab-refusing"
	writeDown(t, profile, refusing)
	run(t, "apparmor_parser", "-r", profile)
	t.Cleanup(func() { run(t, "apparmor_parser", "-R", profile) })
	explained(t, map[string]explanation{
		"why-apparmor-file": {
			"security_opt: [apparmor=lab-refusing]\ncommand: [sh, -c, 'sleep 1; cat /etc/hostname || exit 13']",
			[]string{"exited with status 13; AppArmor's profile lab-refusing refused open of /etc/hostname", "(`/etc/hostname r,`)", "security_opt: [apparmor=PROFILE]"},
		},
		"why-apparmor-mount": {
			"userns_mode: host\ncap_add: [SYS_ADMIN]\nsecurity_opt: [seccomp=unconfined]\ncommand: [sh, -c, 'sleep 1; mount -t tmpfs none /mnt || exit 14']",
			[]string{"exited with status 14; AppArmor's profile unitc-default refused mount of /mnt/"},
		},
	})
}

// profile is what the first process runs under.
func (c *container) profile() string {
	c.t.Helper()
	return run(c.t, "cat", "/proc/"+c.show("MainPID")+"/attr/apparmor/current")
}
