// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// loadBox gives the user an image.
func (s *session) loadBox() {
	s.t.Helper()
	must(s.t, "install", "-o", somebody, savedImage(s.t, "localhost/box:1", `{"Cmd": ["sh"]}`), s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
}

const (
	userTraceless = "rootfs: host\nnetwork_mode: none\nstop_grace_period: 0s\n"
	userBox       = "image: localhost/box:1\npull_policy: never\nnetwork_mode: none\nstop_grace_period: 0s\n"
	// writesTheirs is a payload that has written as another id.
	writesTheirs = "command: [/bin/busybox, sh, -c, 'mkdir /theirs; echo x >/theirs/file; chown -R 33:33 /theirs; echo ready; exec sleep 1000']\n"
)

// isSwept: nothing of what containers wrote is on the disk.
func (s *session) isSwept() {
	s.t.Helper()
	await(s.t, "all is swept up", func() bool {
		for _, dir := range []string{"containers", "trash"} {
			if left, _ := filepath.Glob(s.home + "/.local/share/unitc/" + dir + "/*"); len(left) > 0 {
				return false
			}
		}
		return true
	})
}

// A user's container that leaves nothing has no process of ours run at its stop, one
// with an image has one behind it, all others have one in it. Where what comes behind is
// not there, all have clean-up.
func TestUserWhoNeedsCleanUp(t *testing.T) {
	s := newSession(t)
	for name, c := range map[string]struct {
		more           string
		cleans, sweeps bool
	}{
		"alone": {userTraceless, false, false}, "host": {"rootfs: host\nnetwork_mode: host\n", false, false}, "box": {userBox, false, true},
		"pasta": {"rootfs: host\n", false, true}, "networks": {"rootfs: host\nnetworks: [a]\n", true, false},
		"placed": {userBox + "systemd: {cgroup: service}\n", true, false}, "quiet": {userTraceless + "systemd: {service: {LogLevelMax: err}}\n", true, false}, "instance@": {userBox, true, false},
	} {
		s.define(name+".yaml", c.more+"command: [sleep, '1000']\n")
		unit := strings.Replace(name, "@", "@1", 1)
		cleans, success, failure := s.property(unit, "ExecStopPost") != "", s.property(unit, "OnSuccess"), s.property(unit, "OnFailure")
		sweeps := success == sweepTimer && strings.Contains(failure, sweepTimer)
		if cleans != c.cleans || sweeps != c.sweeps || !sweeps && success != "" || strings.Contains(failure, "unitc-postmortem.service") == cleans {
			t.Errorf("%s: clean-up %v, after its end %q and %q", name, cleans, success, failure)
		}
	}
	if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, "sweep") || strings.Contains(out, "clean-up of its own") {
		t.Errorf("unitc doctor says\n%s", out)
	}
	for _, unit := range []string{sweepTimer, "unitc-postmortem.service"} {
		s.must("systemctl", "--user", "mask", unit)
		s.must("systemctl", "--user", "daemon-reload")
		if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, unit+" is masked: each container has clean-up of its own") {
			t.Errorf("unitc doctor says\n%s", out)
		}
		if s.property("box", "ExecStopPost") == "" || s.property("box", "OnSuccess") != "" {
			t.Errorf("with %s masked there is no clean-up", unit)
		}
		s.must("systemctl", "--user", "unmask", unit)
	}
	// Whose mask is that of the user's entry, too (acl(5)).
	files, _ := filepath.Glob("/var/log/journal/*/user-1500.journal")
	t.Cleanup(func() { must(t, "chmod", append([]string{"0640"}, files...)...) })
	must(t, "chmod", append([]string{"0600"}, files...)...)
	s.must("systemctl", "--user", "daemon-reload")
	if s.property("box", "ExecStopPost") == "" || s.property("alone", "OnFailure") != "" {
		t.Error("without the journal there is no clean-up")
	}
	if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, "the user may not read what their systemd tells the journal") {
		t.Errorf("unitc doctor says\n%s", out)
	}
}

// A stop, the payload killed, and an end of the user's systemd, of
// containers without clean-up: nothing is left, and the next start works.
func TestUserEndsWithoutCleanUp(t *testing.T) {
	s := newSession(t)
	s.loadBox()
	s.define("box.yaml", userBox+writesTheirs)
	s.define("bare.yaml", userTraceless+"command: [/bin/sh, -c, 'echo ready; exec sleep 1000']\n")
	ready := map[string]int{}
	for _, name := range []string{"box", "bare"} {
		ready[name] = strings.Count(s.logs(name), "ready\n")
	}
	for _, end := range []func(name string){
		func(name string) { s.must("systemctl", "--user", "stop", name) },
		func(name string) { s.must("unitc", "--user", "kill", name) },
		func(name string) { must(t, "kill", "-KILL", s.property(name, "MainPID")) },
	} {
		for _, name := range []string{"box", "bare"} {
			s.must("systemctl", "--user", "start", name)
			await(t, name+" runs", func() bool { return strings.Count(s.logs(name), "ready\n") > ready[name] })
			ready[name]++
			end(name)
			await(t, name+" has ended", func() bool { return slices.Contains([]string{"inactive", "failed"}, s.property(name, "ActiveState")) })
			s.isGone(name)
		}
		s.isSwept()
	}
	// Started again at once, and ended by others than systemctl.
	s.must("systemctl", "--user", "start", "box", "bare")
	s.must("systemctl", "--user", "restart", "box", "bare")
	s.must("systemctl", "--user", "stop", "box", "bare")
	s.must("systemctl", "--user", "start", "box", "bare")
	if state := s.property("box", "ActiveState"); state != "active" {
		t.Errorf("box is %s behind its stop", state)
	}
	// The end of the user's systemd waits for no timer.
	must(t, "systemctl", "restart", "user@1500.service")
	for _, dir := range []string{"containers", "trash"} {
		if left, _ := filepath.Glob(s.home + "/.local/share/unitc/" + dir + "/*"); len(left) > 0 {
			t.Errorf("the end of the user's systemd leaves %q", left)
		}
	}
	s.must("systemctl", "--user", "start", "box")
	s.must("systemctl", "--user", "stop", "box")
	s.isGone("box")
	s.isSwept()
}

// Why a container without clean-up has failed is told once for each failure, to the user
// and in the container's own log.
func TestUserPostMortem(t *testing.T) {
	s := newSession(t)
	s.loadBox()
	s.define("exits.yaml", userBox+"command: [/bin/busybox, sh, -c, 'echo last words; exit 3']\n")
	s.define("again.yaml", userTraceless+"restart: on-failure:3\nsystemd: {service: {RestartSec: 100ms}}\ncommand: [/bin/sh, -c, 'echo last words; kill -KILL $$$$; sleep 1']\ninit: true\n")
	s.define("broken.yaml", userTraceless+"command: [/no/such/program]\n")
	entries := func(name string) []string {
		out := s.must("sh", "-c", "journalctl --quiet --no-pager -o cat UNITC_UNIT="+name+".service _UID=1500 || true")
		return strings.Split(out, "\n")
	}
	told := map[string]int{}
	for _, name := range []string{"exits", "again", "broken"} {
		told[name] = len(entries(name))
	}
	s.must("systemctl", "--user", "start", "exits", "again")
	_, _ = s.run("systemctl", "--user", "start", "broken")
	for name, want := range map[string][]string{
		"exits": {"exits.service failed", "exited with status 3", "result    exit-code, exited 3", "| last words"},
		"again": {"again.service failed", "| last words", "restarts"}, "broken": {"as a launch does that has failed"},
	} {
		await(t, name+" has failed", func() bool { return s.property(name, "ActiveState") == "failed" })
		out := s.must("unitc", "--user", "why", name)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("unitc why %s does not say %q:\n%s", name, w, out)
			}
		}
		s.must("unitc", "--user", "why", name)
		ends := 1
		if name == "again" {
			ends = 4
		}
		if got := entries(name)[told[name]-1:]; len(got)-1 != ends {
			t.Errorf("%s is told %q, of %d failures", name, got, ends)
		}
		s.says(name, name+".service failed: ")
	}
}

// What was started by a unit with clean-up, as those of an earlier version, ends by one
// without, and the other way round.
func TestUserUpgrade(t *testing.T) {
	s := newSession(t)
	s.loadBox()
	s.define("box.yaml", userBox+writesTheirs)
	for _, before := range []string{"mask", "unmask"} {
		s.must("systemctl", "--user", before, sweepTimer)
		s.must("systemctl", "--user", "daemon-reload")
		if cleans := s.property("box", "ExecStopPost") != ""; cleans != (before == "mask") {
			t.Errorf("after %s: clean-up %v", before, cleans)
		}
		s.must("systemctl", "--user", "start", "box")
		await(t, "it runs", func() bool {
			_, err := os.Stat(s.home + "/.local/share/unitc/containers/box.service/upper/theirs/file")
			return err == nil
		})
		s.must("systemctl", "--user", map[string]string{"mask": "unmask", "unmask": "mask"}[before], sweepTimer)
		s.must("systemctl", "--user", "daemon-reload")
		s.must("systemctl", "--user", "stop", "box")
		s.isGone("box")
		s.isSwept()
	}
}
