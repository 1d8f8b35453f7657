// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"strings"
	"testing"
)

// A user's containers are brought to newer images as root's are (TestUpdate): by the
// timer of the user's systemd, with a way back from what does not stay up, also where
// the update is killed meanwhile.
func TestUserUpdate(t *testing.T) {
	r := startRegistry(t)
	s := newSession(t)
	name := r.offer(t, "app:1", saying("version one"))
	must(t, "install", "-d", "-o", somebody, "-g", somebody, s.home+"/.config", s.home+"/.config/systemd", s.home+"/.config/systemd/user", s.home+"/.config/systemd/user/unitc-update.service.d")
	place(t, s.home+"/.config/systemd/user/unitc-update.service.d/test.conf", "[Service]\nRestartSec=100ms\nExecStart=\nExecStart=/usr/local/bin/unitc --user update --settle 3s\n")
	place(t, s.home+"/.config/systemd/user/needs-app.service", "[Unit]\nRequires=app.service\nAfter=app.service\n[Service]\nExecStart=/bin/sleep infinity\n")
	s.define("app.yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\nuser: \"33\"\nx-update: registry\n")
	s.must("systemctl", "--user", "start", "needs-app", "timers.target")
	runs := func(times int, words string) {
		t.Helper()
		if err := eventually(func() error {
			if text := s.logs("app"); strings.Count(text, words+"\n") != times {
				return fmt.Errorf("%s was not said %d times:\n%s", words, times, text)
			}
			for _, unit := range []string{"app", "needs-app"} {
				if got := s.property(unit, "ActiveState"); got != "active" {
					return fmt.Errorf("%s is %s", unit, got)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	runs(1, "version one")
	if wants := s.property("timers.target", "Wants"); !strings.Contains(wants, "unitc-update.timer") {
		t.Errorf("timers.target wants %s", wants)
	}
	s.must("systemctl", "--user", "start", "unitc-update.timer")
	if got := s.property("unitc-update.timer", "NextElapseUSecRealtime"); got == "" {
		t.Error("the timer does not come")
	}
	if wants := s.property("default.target", "Wants"); !strings.Contains(wants, "unitc-update-resume.service") {
		t.Errorf("default.target wants %s", wants)
	}
	s.must("systemctl", "--user", "start", "unitc-update-resume")
	if err := eventually(func() error {
		if got := s.property("unitc-update-resume", "ActiveState"); got != "inactive" {
			return fmt.Errorf("with nothing to go on with it is %s", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out := s.must("unitc", "--user", "update", "app"); !strings.Contains(out, "up to date") {
		t.Errorf("the first update says %s", out)
	}
	r.offer(t, "app:1", saying("version two"))
	if out := s.must("unitc", "--user", "update", "--dry-run"); !strings.Contains(out, "app.service: newer image") || !strings.Contains(out, "`unitc --user update app` brings it") {
		t.Errorf("the dry run says %s", out)
	}
	s.must("systemctl", "--user", "start", "unitc-update")
	runs(1, "version two")

	r.offer(t, "app:1", `{"Cmd": ["/bin/sh", "-c", "echo version three is broken; exit 1"]}`)
	if _, status := s.run("systemctl", "--user", "start", "unitc-update"); status == 0 {
		t.Error("an update that failed succeeded")
	}
	runs(2, "version two")
	if said := s.logs("unitc-update"); !strings.Contains(said, "app.service: rolled back") {
		t.Errorf("the update says\n%s", said)
	}
	if out, status := s.run("unitc", "--user", "update"); status != 1 || !strings.Contains(out, "rejected") || !strings.Contains(out, "`unitc --user update --retry`") {
		t.Errorf("the broken version was tried again: %d, %s", status, out)
	}

	// Killed while it watches a bad one, whichever of its processes that hits.
	for i, kill := range [][]string{{"systemctl", "--user", "kill", "-s", "KILL", "unitc-update"}, {"systemctl", "--user", "kill", "-s", "KILL", "--kill-whom=main", "unitc-update"}, nil} {
		bad := fmt.Sprintf("bad version %d", i)
		r.offer(t, "app:1", `{"Cmd": ["/bin/sh", "-c", "echo `+bad+`; sleep 2; exit 1"]}`)
		s.must("systemctl", "--user", "start", "--no-block", "unitc-update")
		s.says("app", bad)
		if kill == nil {
			pids := strings.Fields(file(t, "/sys/fs/cgroup"+s.property("unitc-update", "ControlGroup")+"/cgroup.procs"))
			kill = []string{"kill", "-KILL", pids[len(pids)-1]}
			if len(pids) != 2 || pids[1] == s.property("unitc-update", "MainPID") {
				t.Errorf("the update's processes are %q", pids)
			}
		}
		s.must(kill...)
		runs(3+i, "version two")
		if err := eventually(func() error {
			if got := s.property("unitc-update", "ActiveState"); got != "failed" {
				return fmt.Errorf("the update is %s", got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}

	r.offer(t, "app:1", saying("version four"))
	s.must("systemctl", "--user", "start", "unitc-update")
	runs(1, "version four")
	s.must("unitc", "--user", "rollback", "--settle", "200ms", "app")
	runs(6, "version two")

}
