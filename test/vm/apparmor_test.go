// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
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
	c := define(t, "apparmor-default", "scope", sleeper)
	if got := c.profile(); got != "unitc-default (enforce)" {
		t.Errorf("the payload runs under %q", got)
	}
	if got := run(t, "unitc", "exec", c.name, "cat", "/proc/self/attr/apparmor/current"); got != "unitc-default (enforce)" {
		t.Errorf("what joins it runs under %q", got)
	}
	privileged := define(t, "apparmor-privileged", "scope", sleeper+"privileged: true\n")
	if got := privileged.profile(); got != "unconfined" {
		t.Errorf("a privileged payload runs under %q", got)
	}
	for option, want := range map[string]string{
		"":                      "reads\nis unitc-default (enforce)",
		", apparmor=unconfined": "mounts\nremounts\nwrites\nreads\nis unconfined",
	} {
		c := define(t, "apparmor-try"+strings.Trim(option, ", =aprmo"), "scope", strings.Replace(tryAll, "%s", option, 1))
		said := c.awaitWord("is un")
		if !strings.Contains(said, want) {
			t.Errorf("with %q the payload\n%s\nwant\n%s", option, said, want)
		}
	}
	// A profile that is not loaded stops the start, which names the cure.
	path := "/etc/unitc/apparmor-wrong.yaml"
	writeDown(t, path, sleeper+"security_opt: [apparmor=no-such-profile]\n")
	t.Cleanup(func() {
		os.Remove(path)
		run(t, "systemctl", "daemon-reload")
		_ = exec.Command("systemctl", "reset-failed", "apparmor-wrong").Run()
	})
	run(t, "systemctl", "daemon-reload")
	if out, err := exec.Command("systemctl", "start", "apparmor-wrong").CombinedOutput(); err == nil {
		t.Errorf("it was started: %s", out)
	}
	if status := run(t, "systemctl", "show", "--value", "-p", "StatusText", "apparmor-wrong"); !strings.Contains(status, "no profile of that name is loaded") {
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
	for name, c := range map[string]struct {
		definition string
		want       []string
	}{
		"file": {
			"security_opt: [apparmor=lab-refusing]\ncommand: [sh, -c, 'sleep 1; cat /etc/hostname || exit 13']",
			[]string{"exited with status 13; AppArmor's profile lab-refusing refused open of /etc/hostname", "(`/etc/hostname r,`)", "security_opt: [apparmor=PROFILE]"},
		},
		"mount": {
			"userns_mode: host\ncap_add: [SYS_ADMIN]\nsecurity_opt: [seccomp=unconfined]\ncommand: [sh, -c, 'sleep 1; mount -t tmpfs none /mnt || exit 14']",
			[]string{"exited with status 14; AppArmor's profile unitc-default refused mount of /mnt/"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			define(t, "why-apparmor-"+name, "scope", "rootfs: host\n"+c.definition+"\n").says(c.want)
		})
	}
}

// profile is what the first process runs under.
func (c *container) profile() string {
	c.t.Helper()
	return run(c.t, "cat", "/proc/"+c.show("MainPID")+"/attr/apparmor/current")
}
