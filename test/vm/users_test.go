// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// lingerer is a user whose systemd starts with the machine.
const lingerer = "lingerer"

// asLingerer runs a command as the user.
func asLingerer(t *testing.T, command string) string {
	t.Helper()
	return run(t, "runuser", "-u", lingerer, "--", "env", "HOME=/home/"+lingerer, "XDG_RUNTIME_DIR=/run/user/1600", "sh", "-c", command)
}

func awaitLingerers(t *testing.T, unit string) {
	t.Helper()
	await(t, unit+" of the user is active", func() bool {
		out, _ := exec.Command("runuser", "-u", lingerer, "--", "env", "XDG_RUNTIME_DIR=/run/user/1600", "systemctl", "--user", "is-active", unit).Output()
		return strings.TrimSpace(string(out)) == "active"
	})
}

// Containers of a user who lingers start with the machine, end with their grace period
// in its shutdown, and have their volumes behind that and behind a power cut; they live through a new beginning of
// the user's systemd, and come again after its death. Who lingers no more, and is
// not logged in, has none; a host that keeps user namespaces to root is told.
//
//lab:once
func TestBootUserLingers(t *testing.T) {
	const kept = "/home/" + lingerer + "/.local/share/unitc/volumes/kept/data/log"
	lines := func(t *testing.T, word string) int {
		t.Helper()
		data, err := os.ReadFile(kept)
		if err != nil {
			t.Error(err)
		}
		return strings.Count(string(data), word)
	}
	phases(t, func(t *testing.T) {
		// The lab leaves it out: see slowUnits there.
		if err := os.Remove("/etc/systemd/system/systemd-logind.service"); err != nil {
			t.Fatal(err)
		}
		run(t, "useradd", "-m", "-u", "1600", lingerer)
		write(t, "/home/"+lingerer+"/.config/unitc/web.yaml", `rootfs: host
network_mode: none
restart: always
stop_grace_period: 30s
volumes: [kept:/kept]
command: [/bin/sh, -c, 'trap "sleep 2; echo graceful >>/kept/log; exit 0" TERM; echo start >>/kept/log; while :; do sleep 0.5; done']
`)
		run(t, "chown", "-R", lingerer+":", "/home/"+lingerer)
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", "start", "systemd-logind.service")
		run(t, "loginctl", "enable-linger", lingerer)
		awaitLingerers(t, "web")
	}, func(t *testing.T) {
		awaitLingerers(t, "web")
		if n, all := lines(t, "graceful"), lines(t, "start"); n != 1 || all != 2 {
			t.Errorf("it has ended %d times by itself, in the shutdown, and started %d times", n, all)
		}
		if out := asLingerer(t, "unitc --user doctor"); !strings.Contains(out, "the user's systemd starts with the system") {
			t.Errorf("unitc doctor says\n%s", out)
		}
		before := asLingerer(t, "systemctl --user daemon-reexec; systemctl --user show --value -p MainPID web; unitc --user exec web /bin/true")
		run(t, "systemctl", "kill", "-s", "KILL", "--kill-whom=main", "user@1600.service")
		await(t, "the user's systemd is gone", func() bool { return show(t, "user@1600", "ActiveState") == "failed" })
		run(t, "systemctl", "start", "user@1600.service")
		awaitLingerers(t, "web")
		if after := asLingerer(t, "systemctl --user show --value -p MainPID web"); after == before {
			t.Errorf("the payload is still %s", after)
		}
		if n := lines(t, "start"); n != 3 {
			t.Errorf("it has started %d times", n)
		}
		run(t, "sync")
	}, func(t *testing.T) {
		defer func() {
			_ = exec.Command("loginctl", "disable-linger", lingerer).Run()
			run(t, "systemctl", "stop", "user@1600.service")
			run(t, "userdel", "-r", lingerer)
			run(t, "systemctl", "mask", "--now", "systemd-logind.service")
		}()
		awaitLingerers(t, "web") // the boot before may have ended by a power cut
		before := lines(t, "graceful")
		if n := lines(t, "start"); n != 4 || before == 0 {
			t.Errorf("it has started %d times, and ended %d times by itself", n, before)
		}
		for sysctl, want := range map[string]string{"user.max_user_namespaces": "raise user.max_user_namespaces", "kernel.unprivileged_userns_clone": "kernel.unprivileged_userns_clone=1"} {
			former := run(t, "sysctl", "-n", sysctl)
			run(t, "sysctl", "-w", sysctl+"=0")
			if out := asLingerer(t, "unitc --user doctor || true"); !strings.Contains(out, want) {
				t.Errorf("with %s=0 unitc doctor says\n%s", sysctl, out)
			}
			if out := asLingerer(t, "unitc --user images 2>&1 || true"); !strings.Contains(out, want) || strings.Contains(out, "df -i") {
				t.Errorf("with %s=0 unitc images says\n%s", sysctl, out)
			}
			run(t, "sysctl", "-w", sysctl+"="+former)
		}
		run(t, "loginctl", "disable-linger", lingerer)
		await(t, "the user's systemd has ended", func() bool { return show(t, "user@1600", "ActiveState") == "inactive" })
		if n := lines(t, "graceful"); n != before+1 {
			t.Errorf("by the user's end it has not ended by itself: %d times, %d before", n, before)
		}
		if out, _ := exec.Command("pgrep", "-u", lingerer, "-a").Output(); len(out) > 0 {
			t.Errorf("the user still has\n%s", out)
		}
	})
}
