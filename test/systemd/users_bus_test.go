// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// soon fails where a verb waits for what will not come.
func (s *session) soon(want string, args ...string) {
	s.t.Helper()
	begun := time.Now()
	out, status := s.run(append([]string{"timeout", "60"}, args...)...)
	if took := time.Since(begun); took > 8*time.Second {
		s.t.Errorf("%q takes %v", args, took)
	}
	if status == 0 || !strings.Contains(out, want) {
		s.t.Errorf("%q exits with %d and says no %q:\n%s", args, status, want, out)
	}
}

// A user's systemd asks the system's, over the system bus, to move a process that is not
// below it, which takes a login's into a container. Without that bus it is told, with what
// needs none; all other verbs need none.
func TestUserWithoutSystemBus(t *testing.T) {
	const dropIn = "/run/systemd/system/user@1500.service.d/nobus.conf"
	place(t, dropIn, "[Service]\nTemporaryFileSystem=/run/dbus\n")
	t.Cleanup(func() { must(t, "rm", "-rf", filepath.Dir(dropIn)); reload(t) })
	reload(t)
	s := newSession(t)
	s.define("web.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [sleep, '1000']\nstop_grace_period: 0s\n")
	s.must("systemctl", "--user", "start", "web")
	for _, args := range [][]string{{"exec", "web", "true"}, {"cp", "web:/etc/hostname", s.home + "/copy"}} {
		s.soon("as root: systemctl start dbus.socket", append([]string{"unitc", "--user"}, args...)...)
	}
	if out := s.must("systemd-run", "--user", "--pipe", "--wait", "--quiet", "unitc", "--user", "exec", "web", "echo", "inside"); out != "inside\n" {
		t.Errorf("what the user's systemd starts says %q", out)
	}
	for _, args := range []string{"ps", "stats --no-stream", "why web", "inspect web", "diff", "pause web", "unpause web", "kill -s CONT web"} {
		s.must(append([]string{"unitc", "--user"}, strings.Fields(args)...)...)
	}
	s.must("systemctl", "--user", "restart", "web")
	s.must("systemctl", "--user", "stop", "web")
	s.isGone("web")
}

// A user's systemd that begins anew, without its bus, changes nothing for containers and
// verbs; where it is killed its containers end with it, verbs say at once that it is not
// there, and the next one starts them.
func TestUserManagerKilled(t *testing.T) {
	s := newSession(t)
	s.define("web.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [sleep, '1000']\nstop_grace_period: 0s\n")
	s.must("systemctl", "--user", "start", "web")
	pid := s.property("web", "MainPID")
	s.must("systemctl", "--user", "stop", "dbus.socket", "dbus.service")
	s.must("systemctl", "--user", "daemon-reexec")
	if out := s.must("unitc", "--user", "exec", "web", "echo", "inside"); out != "inside\n" {
		t.Errorf("unitc exec says %q", out)
	}
	if now := s.property("web", "MainPID"); now != pid {
		t.Errorf("its process is %s, no more %s", now, pid)
	}
	s.must("systemctl", "--user", "restart", "web")
	must(t, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", "user@1500.service")
	await(t, "all of it has ended", func() bool { return property(t, "user@1500.service", "ActiveState") == "failed" })
	for _, args := range []string{"ps", "exec web true", "inspect web", "kill web"} {
		s.soon("log in as the user", append([]string{"unitc", "--user"}, strings.Fields(args)...)...)
	}
	must(t, "systemctl", "start", "user@1500.service")
	s.must("systemctl", "--user", "start", "web")
	if err := eventually(func() error {
		if out, _ := s.run("unitc", "--user", "ps"); !strings.Contains(out, "running") {
			return fmt.Errorf("unitc ps says\n%s", out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.must("systemctl", "--user", "stop", "web")
	s.isGone("web")
}

// A login may have other directories than the user's systemd: that is told, and nothing is
// written where nobody would find it.
func TestUserDirectoriesElsewhere(t *testing.T) {
	s := newSession(t)
	place(t, s.home+"/web.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [sleep, '1000']\n")
	for name, want := range map[string]string{"XDG_CONFIG_HOME": s.home + "/.config", "XDG_DATA_HOME": s.home + "/.local/share"} {
		elsewhere := []string{"env", name + "=" + s.home + "/elsewhere", "unitc", "--user"}
		for _, args := range [][]string{{"up", s.home + "/web.yaml"}, {"doctor"}} {
			if out, status := s.run(append(elsewhere, args...)...); status != 1 || !strings.Contains(out, "by "+name+" it is "+s.home+"/elsewhere here, and for the user's systemd, which starts containers, "+want) || !strings.Contains(out, "unset "+name) {
				t.Errorf("%s: %q exits with %d and says\n%s", name, args, status, out)
			}
		}
		if left, _ := filepath.Glob(s.home + "/elsewhere"); len(left) > 0 {
			t.Errorf("%s: %q are left", name, left)
		}
	}
	if out := s.must("unitc", "--user", "doctor"); strings.Contains(out, "elsewhere") {
		t.Errorf("unitc doctor says\n%s", out)
	}
	s.soon("XDG_RUNTIME_DIR is that of the user's systemd, /run/user/1500", "env", "XDG_RUNTIME_DIR="+s.home, "unitc", "--user", "ps")
}
