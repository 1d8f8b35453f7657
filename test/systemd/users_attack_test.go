// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const userSleeper = "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, '" + untilStopped + "']\n"

// Who stands in /etc/subuid twice, or has a range with their own id in it, has all
// other ids once; ids that are somebody else's too are told, and so is what keeps
// newuidmap(1) from giving any.
func TestUserIDs(t *testing.T) {
	s := newSession(t)
	s.define("ids.yaml", userSleeper)
	for lines, want := range map[string]string{
		"somebody:100000:65536\n1500:100000:65536\n":     "0 1500 1, 1 100000 65536",
		"somebody:100000:65536\nsomebody:120000:65536\n": "0 1500 1, 1 100000 65536, 65537 165536 20000",
		"somebody:1400:70000\n":                          "0 1500 1, 1 1400 100, 101 1501 69899",
	} {
		place(t, "/etc/subuid", lines)
		place(t, "/etc/subgid", lines)
		s.must("systemctl", "--user", "start", "ids")
		data, err := os.ReadFile("/proc/" + s.property("ids", "MainPID") + "/uid_map")
		var got []string
		for line := range strings.Lines(string(data)) {
			got = append(got, strings.Join(strings.Fields(line), " "))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("with %q the map is %q, want %q: %v", lines, got, want, err)
		}
		s.must("systemctl", "--user", "stop", "ids")
	}
	place(t, "/etc/subuid", "somebody:100000:65536\n")
	place(t, "/etc/subgid", "somebody:100000:65536\n")
	if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, "nobody else's") {
		t.Errorf("unitc doctor says of ids of somebody's own\n%s", out)
	}
	place(t, "/etc/subuid", "somebody:100000:65536\nother:165535:65536\n")
	if out, _ := s.run("unitc", "--user", "doctor"); !strings.Contains(out, "100000-165535 of /etc/subuid are other's too, by /etc/subuid") {
		t.Errorf("unitc doctor does not tell of ids that are another's too:\n%s", out)
	}
	must(t, "chmod", "u-s", "/usr/bin/newuidmap")
	t.Cleanup(func() { must(t, "chmod", "u+s", "/usr/bin/newuidmap") })
	if out, status := s.run("systemctl", "--user", "start", "ids"); status == 0 {
		t.Errorf("it starts without newuidmap's privilege:\n%s", out)
	}
	if text := s.property("ids", "StatusText"); !strings.Contains(text, "/usr/bin/newuidmap is neither set-user-ID root nor has it a capability: install its package anew") {
		t.Errorf("without newuidmap's privilege the status is %q", text)
	}
}

// A file of the user's that does not answer, as one on a network that is gone, keeps
// nobody from logging in.
//
//lab:once
func TestUserSlowDefinition(t *testing.T) {
	s := newSession(t)
	s.define("slow.yaml", userSleeper)
	must(t, "systemctl", "stop", "user@1500.service")
	// Who opens the file waits for an answer that does not come.
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, s.home+"/.config/unitc/slow.yaml")
	}
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, status := command(t, "systemctl", "start", "user@1500.service")
	took := time.Since(began)
	unix.Close(fd)
	if status != 0 || took > time.Minute {
		t.Errorf("the user's systemd starts with status %d after %s:\n%s", status, took, out)
	}
	s.must("systemctl", "--user", "daemon-reload")
	s.must("systemctl", "--user", "start", "slow")
}

// Root gives the user other subordinate ids: what is in images and volumes would be
// nobody's inside, and does not become somebody else's in silence.
//
//lab:once
func TestUserStoreOfOtherIDs(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.define("web.yaml", "image: localhost/box:1\npull_policy: never\nnetwork_mode: none\nvolumes: [kept:/kept]\nstop_grace_period: 0s\ncommand: [/bin/busybox, sleep, \"1000\"]\n")
	// In a namespace within the user's.
	s.define("pair.yaml", "services:\n  a: &a {image: 'localhost/box:1', pull_policy: never, stop_grace_period: 0s, volumes: ['kept:/kept'], command: [/bin/busybox, sleep, \"1000\"]}\n  b: *a\nvolumes: {kept: {}}\nnetworks: {default: {internal: true}}\n")
	s.must("systemctl", "--user", "start", "web", "pair.target", "pair-a", "pair-b")
	s.must("systemctl", "--user", "stop", "web", "pair-a", "pair-b")
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		place(t, file, somebody+":300000:65536\n")
	}
	const want = "other ids than /etc/subuid now gives: 1 to 65536 were 100000 to 165535; have root give the former ids back"
	for _, unit := range []string{"web", "pair-a"} {
		if out, status := s.run("systemctl", "--user", "start", unit); status == 0 {
			t.Errorf("%s starts with other ids:\n%s", unit, out)
		}
		if text := s.property(unit, "StatusText"); !strings.Contains(text, want) {
			t.Errorf("with other ids the status of %s is %q", unit, text)
		}
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		place(t, file, somebody+":100000:65536\n"+somebody+":300000:65536\n")
	}
	s.must("systemctl", "--user", "start", "web", "pair-a")
	s.must("systemctl", "--user", "stop", "web", "pair-a")
}

// What is left of a container is taken away also where the way into the user's
// namespace takes longer than its grace period.
//
//lab:once
func TestUserSlowCleanUp(t *testing.T) {
	s := newSession(t)
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.define("slow.yaml", "image: localhost/box:1\npull_policy: never\nnetwork_mode: none\nsystemd: {cgroup: service}\nstop_grace_period: 1s\npre_stop: [{command: [/bin/busybox, \"true\"]}]\n"+
		"command: [/bin/busybox, sh, -c, 'mkdir /theirs; echo x >/theirs/file; chown -R 33:33 /theirs; echo ready; "+untilStopped+"']\n")
	s.must("systemctl", "--user", "start", "slow")
	s.says("slow", "ready")
	const helper, true = "/usr/bin/newuidmap", "/usr/bin/newuidmap.true"
	must(t, "mv", helper, true)
	t.Cleanup(func() { must(t, "mv", true, helper) })
	if err := os.WriteFile(helper, []byte("#!/bin/sh\nsleep 3\nexec "+true+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.must("systemctl", "--user", "stop", "slow")
	if result := s.property("slow", "Result"); result != "success" {
		t.Errorf("the stop ends with %s:\n%s", result, s.logs("slow"))
	}
	s.isGone("slow")
}

// Who removes unitc ends the containers of users first: nothing could clean up behind
// them any more.
func TestUserUninstall(t *testing.T) {
	s := newSession(t)
	s.define("scoped.yaml", userSleeper)
	s.define("placed.yaml", userSleeper+"systemd: {cgroup: service}\n")
	s.define("always.yaml", userSleeper+"restart: always\n")
	s.define("pair.yaml", "services:\n  a: &a {rootfs: host, command: [/bin/sh, -c, '"+untilStopped+"']}\n  b: *a\nnetworks: {default: {internal: true}}\n")
	s.loadBox()
	s.define("box.yaml", strings.Replace(userBox, "0s", "5s", 1)+strings.Replace(writesTheirs, "exec sleep 1000", `trap "exit 0" TERM; while :; do busybox sleep 0.1; done`, 1))
	keepInstall(t)
	names := []string{"scoped", "placed", "always", "pair-a", "pair-b", "box"}
	s.must(append([]string{"systemctl", "--user", "start"}, names...)...)
	installer(t, "uninstall")
	for _, name := range names {
		if state := s.property(name, "ActiveState"); state != "inactive" {
			t.Errorf("%s is %s", name, state)
		}
		s.isGone(name)
	}
	s.isSwept()
}

// A home that takes no overlay is told, before and at the start.
//
//lab:once
func TestUserStoreWithoutOverlay(t *testing.T) {
	s := newSession(t)
	dir := s.home + "/.local/share/unitc"
	s.must("mkdir", "-p", dir)
	if out := s.must("unitc", "--user", "doctor"); !strings.Contains(out, dir+" takes overlays") {
		t.Errorf("unitc doctor says\n%s", out)
	}
	below := t.TempDir()
	must(t, "mkdir", below+"/l", below+"/u", below+"/w")
	must(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+below+"/l,upperdir="+below+"/u,workdir="+below+"/w", dir)
	t.Cleanup(func() { must(t, "umount", dir) })
	must(t, "chown", somebody+":", dir)
	const want = "takes no overlay (an overlay itself, NFS and others do not"
	if out := s.must("unitc", "--user", "doctor"); !strings.Contains(out, want) {
		t.Errorf("unitc doctor says\n%s", out)
	}
	archive := savedImage(t, "localhost/box:1", `{"Cmd": ["sh"]}`)
	must(t, "install", "-o", somebody, archive, s.home+"/box.tar")
	s.must("unitc", "--user", "load", s.home+"/box.tar")
	s.define("web.yaml", "image: localhost/box:1\npull_policy: never\nnetwork_mode: none\n")
	if out, status := s.run("systemctl", "--user", "start", "web"); status == 0 {
		t.Errorf("it starts:\n%s", out)
	}
	if text := s.property("web", "StatusText"); !strings.Contains(text, want) {
		t.Errorf("its status is %q", text)
	}
}
