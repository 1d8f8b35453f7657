// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
)

// A job that has a timer is not run by up: its timer is started, and what enable,
// disable and down do is done to that.
func TestUpByTime(t *testing.T) {
	dir := t.TempDir()
	leavesNothing(t, func() {
		file := dir + "/verb-job.yaml"
		writeFile(t, file, "rootfs: host\ncommand: [/bin/echo, \"${UNSET}\"]\nsystemd: {timer: {OnCalendar: yearly}}\n")
		const link = "/etc/systemd/system/timers.target.wants/verb-job.timer"
		out := must(t, "unitc", "up", "--enable", file)
		if !strings.Contains(out, "verb-job is started by verb-job.timer: systemctl list-timers tells when") {
			t.Errorf("up says\n%s", out)
		}
		if !strings.Contains(out, file+":2:22: warning: command[1]: the variable UNSET is not set") {
			t.Errorf("up tells no warning:\n%s", out)
		}
		if timer, ran := property(t, "verb-job.timer", "ActiveState"), property(t, "verb-job", "InactiveExitTimestampMonotonic"); timer != "active" || ran != "0" {
			t.Errorf("after up the timer is %s, the job ran at %s", timer, ran)
		}
		if startedWithSystem(t, "verb-job.service") {
			t.Error("the job itself is started with the system")
		}
		must(t, "unitc", "disable", "--now", "verb-job")
		if target, _ := os.Readlink(link); target != "/dev/null" || property(t, "verb-job.timer", "ActiveState") != "inactive" {
			t.Errorf("after disable --now the link leads to %q, the timer is %s", target, property(t, "verb-job.timer", "ActiveState"))
		}
		if out := must(t, "unitc", "check"); !strings.Contains(out, "it does not start with the system: "+link) {
			t.Errorf("check says\n%s", out)
		}
		must(t, "unitc", "enable", "--now", "verb-job")
		if _, err := os.Lstat(link); err == nil || property(t, "verb-job.timer", "ActiveState") != "active" {
			t.Errorf("after enable --now: %v, the timer is %s", err, property(t, "verb-job.timer", "ActiveState"))
		}
		must(t, "unitc", "down", "--purge", "verb-job")
		if got := property(t, "verb-job.timer", "ActiveState"); got != "inactive" {
			t.Errorf("after down the timer is %s", got)
		}
	})
}

// A service with a socket is never without it, whoever starts it; a project starts and
// stops timers and sockets with its services, but for those of other profiles.
func TestProjectWithTriggers(t *testing.T) {
	dir := t.TempDir() + "/verb-triggers"
	leavesNothing(t, func() {
		const job = "    rootfs: host\n    command: [/bin/true]\n    systemd: {timer: {OnCalendar: yearly}}\n"
		writeFile(t, dir+"/compose.yaml", "services:\n  web:\n    rootfs: host\n    command: [/bin/sh, -c, 'echo \"has $$LISTEN_FDS\"; exec sleep infinity']\n    init: true\n"+
			"    systemd: {socket: {ListenStream: /run/verb-triggers}}\n  job:\n"+job+"  other:\n    profiles: [other]\n"+job)
		must(t, "unitc", "up", dir+"/compose.yaml")
		states := func(want string) {
			t.Helper()
			got := []string{}
			for _, unit := range []string{"web.socket", "web.service", "job.timer", "job.service", "other.timer"} {
				got = append(got, property(t, "verb-triggers-"+unit, "ActiveState"))
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("socket, service, timer, job and the other timer are %s, want %s", text, want)
			}
		}
		states("active active active inactive inactive")
		awaitLine(t, "verb-triggers-web", "has 1")
		if _, err := os.Lstat("/run/systemd/generator.late/timers.target.wants/verb-triggers-other.timer"); err == nil {
			t.Error("a profile that nobody chose has its timer at boot")
		}
		must(t, "systemctl", "stop", "verb-triggers.target", "verb-triggers-web.service", "verb-triggers-job.timer", "verb-triggers-web.socket")
		states("inactive inactive inactive inactive inactive")
		must(t, "systemctl", "start", "verb-triggers.target")
		states("active active active inactive inactive")
		must(t, "unitc", "down", "--purge", "verb-triggers")
		states("inactive inactive inactive inactive inactive")
	})
}
