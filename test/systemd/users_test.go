// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// somebody is a user without privilege, with the ids of /etc/subuid.
const somebody = "somebody"

// becomeSomebody makes the user and gives what runs a command as them.
func becomeSomebody(t *testing.T) (home string, run func(args ...string) (string, int)) {
	t.Helper()
	must(t, "useradd", "-m", "-u", "1500", somebody)
	place(t, "/etc/subuid", somebody+":100000:65536\n")
	place(t, "/etc/subgid", somebody+":100000:65536\n")
	runtimeDir := "/run/user/1500"
	must(t, "install", "-d", "-o", somebody, "-g", somebody, "-m", "0700", runtimeDir)
	t.Cleanup(func() {
		// Ends Podman's own pause process, which holds its user namespace.
		_, _ = run("podman", "system", "migrate")
		if err := eventually(func() error {
			_ = exec.Command("pkill", "-KILL", "-u", somebody).Run()
			out, err := exec.Command("userdel", "-r", somebody).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		}); err != nil {
			t.Errorf("userdel: %v", err)
		}
		os.RemoveAll(runtimeDir)
	})
	run = func(args ...string) (string, int) {
		return command(t, "runuser", append([]string{"-u", somebody, "--", "env", "-C", "/home/" + somebody, "HOME=/home/" + somebody, "XDG_RUNTIME_DIR=" + runtimeDir, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, args...)...)
	}
	return "/home/" + somebody, run
}

// session is a user with a systemd of their own, and nothing more than that.
type session struct {
	t    *testing.T
	home string
	run  func(args ...string) (string, int)
}

const sessionRun = "/run/user/1500"

func newSession(t *testing.T) *session {
	t.Helper()
	home, run := becomeSomebody(t)
	must(t, "systemctl", "start", "user@1500.service")
	await(t, "journald has a file for the user", func() bool { left, _ := filepath.Glob("/var/log/journal/*/user-1500.journal"); return len(left) > 0 })
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "user@1500.service")
		_, _ = command(t, "systemctl", "stop", "user-1500.slice")
	})
	return &session{t, home, run}
}

// define writes a definition of the user's and has their systemd read it.
func (s *session) define(name, text string) {
	s.t.Helper()
	dir := s.home + "/.config/unitc"
	if out, status := s.run("mkdir", "-p", dir); status != 0 {
		s.t.Fatal(out)
	}
	place(s.t, dir+"/"+name, text)
	s.must("systemctl", "--user", "daemon-reload")
}

func (s *session) must(args ...string) string {
	s.t.Helper()
	out, status := s.run(args...)
	if status != 0 {
		unit := args[len(args)-1]
		more, _ := s.run("systemctl", "--user", "status", "--no-pager", "-l", unit)
		s.t.Fatalf("%q exits with %d:\n%s\n%s", args, status, out, more)
	}
	return out
}

func (s *session) property(unit, name string) string {
	s.t.Helper()
	return strings.TrimSpace(s.must("systemctl", "--user", "show", "--value", "-p", name, "--", unit))
}

func (s *session) logs(unit string) string {
	s.t.Helper()
	must(s.t, "journalctl", "--sync")
	return s.must("journalctl", "--user", "--no-pager", "-o", "cat", "-u", unit)
}

// says waits for a line of a unit's.
func (s *session) says(unit string, lines ...string) {
	s.t.Helper()
	if err := eventually(func() error {
		text := s.logs(unit)
		for _, want := range lines {
			if !strings.Contains(text, want) {
				return fmt.Errorf("%s does not say %q:\n%s", unit, want, text)
			}
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// isGone: nothing of a container is left, or will be when it has been swept up.
func (s *session) isGone(name string) {
	s.t.Helper()
	if _, err := os.Lstat(sessionRun + "/unitc/" + name); !os.IsNotExist(err) {
		s.t.Errorf("%s has left its directory: %v", name, err)
	}
	if err := eventually(func() error { return s.leaves(name) }); err != nil {
		s.t.Error(err)
	}
}

func (s *session) leaves(name string) error {
	for _, pattern := range []string{
		s.home + "/.local/share/unitc/containers/" + name + "*", sessionRun + "/unitc/.images/" + name + "*", sessionRun + "/unitc/.networks/*/" + name + "*",
		"/sys/fs/cgroup/user.slice/user-1500.slice/user@1500.service/unitc.slice/*" + name + "*",
	} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			return fmt.Errorf("%s has left %q", name, left)
		}
	}
	return nil
}

const untilStopped = `trap "exit 0" TERM; while :; do sleep 0.1; done`

// A user's container is a service of their own systemd, which sees its payload's true
// end; the payload is held as root's are.
func TestUserContainer(t *testing.T) {
	s := newSession(t)
	s.define("hello.yaml", `rootfs: host
network_mode: none
command: [/bin/sh, -c, 'cat /proc/self/uid_map; grep -E "^(NoNewPrivs|Seccomp|CapBnd|CapEff|CapInh|CapAmb):" /proc/self/status; cat /proc/kcore; ls /proc | grep -c "^[0-9]"; trap "exit 42" TERM; echo ready; while :; do sleep 0.1; done']
`)
	s.must("systemctl", "--user", "start", "hello")
	s.says("hello", "         0       1500          1", "         1     100000      65536", "NoNewPrivs:\t1", "Seccomp:\t2",
		"CapBnd:\t00000000000004fb", "CapEff:\t00000000000004fb", "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "ready")
	pid := s.property("hello", "MainPID")
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil || !strings.Contains(string(status), "\nPPid:\t"+property(t, "user@1500.service", "MainPID")+"\n") {
		t.Errorf("the payload is no child of the user's systemd: %v\n%s", err, status)
	}
	if group, _ := os.ReadFile("/proc/" + pid + "/cgroup"); !strings.Contains(string(group), "/user@1500.service/unitc.slice/unitc-hello.scope/payload\n") {
		t.Errorf("the payload is in %s", group)
	}
	// Root's command sees nothing of it, and root's places have nothing.
	if out := s.must("unitc", "ps"); !strings.Contains(out, "`unitc --user ps` lists your own") {
		t.Errorf("without --user a user is not told of it:\n%s", out)
	}
	if out := must(t, "unitc", "ps", "-a"); strings.Contains(out, "hello") {
		t.Errorf("root's unitc ps tells of it:\n%s", out)
	}
	if _, err := os.Lstat("/run/unitc/hello"); !os.IsNotExist(err) {
		t.Errorf("it has a directory of root's: %v", err)
	}
	if st, err := os.Stat(sessionRun + "/unitc/hello/plan.json"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its plan: %v %v", st, err)
	}
	_, _ = s.run("systemctl", "--user", "stop", "hello")
	if code := s.property("hello", "ExecMainStatus"); code != "42" {
		t.Errorf("the payload's status is %s, want 42", code)
	}
	s.isGone("hello")
	if out, status := s.run("unitc", "--user", "why", "hello"); status != 0 || !strings.Contains(out, "exited with status 42") {
		t.Errorf("unitc why exits with %d and says %q", status, out)
	}
}

// What drops to another id than root's is one of the user's subordinate ids, and its
// systemd can stop it all the same.
func TestUserStopsOtherIDs(t *testing.T) {
	s := newSession(t)
	s.define("other.yaml", "rootfs: host\nnetwork_mode: none\nuser: \"33\"\ncommand: [/bin/sh, -c, 'id; "+untilStopped+"']\n")
	s.define("deaf.yaml", "rootfs: host\nnetwork_mode: none\nuser: \"33\"\nstop_grace_period: 1s\ncommand: [/bin/sh, -c, 'trap \"\" TERM; echo deaf; while :; do sleep 0.1; done']\n")
	for _, name := range []string{"other", "deaf"} {
		s.must("systemctl", "--user", "start", name)
		pid := s.property(name, "MainPID")
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		if !strings.Contains(string(status), "\nUid:\t100032\t100032\t100032\t100032\n") {
			t.Errorf("%s is not of the subordinate id 100032:\n%s", name, status)
		}
	}
	s.says("other", "uid=33")
	s.says("deaf", "deaf")
	s.must("systemctl", "--user", "stop", "other")
	if result := s.property("other", "Result"); result != "success" {
		t.Errorf("the stop of other ends with %s", result)
	}
	_, _ = s.run("systemctl", "--user", "stop", "deaf")
	if result, code := s.property("deaf", "Result"), s.property("deaf", "ExecMainStatus"); result != "timeout" || code != "9" {
		t.Errorf("the stop of deaf ends with %s, %s", result, code)
	}
	s.isGone("other")
	s.isGone("deaf")
}

// The payload in the service's own cgroup, the host's network, an init, hooks, a
// template, and a socket of systemd's.
func TestUserKinds(t *testing.T) {
	s := newSession(t)
	s.define("svc.yaml", "rootfs: host\nnetwork_mode: host\ninit: true\nhealthcheck: {test: [CMD, /bin/true], interval: 1s}\nsystemd: {cgroup: service, notify: healthy}\ncommand: [/bin/sh, -c, 'echo up; ls /sys/class/net; ls /sys/kernel/debug; "+untilStopped+"']\n")
	s.define("w@.yaml", "rootfs: host\nnetwork_mode: none\npost_start: [{command: [/bin/echo, behind]}]\npre_stop: [{command: [/bin/echo, before]}]\ncommand: [/bin/sh, -c, '"+untilStopped+"']\n")
	s.define("sock.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, 'echo $$LISTEN_FDS of $$LISTEN_PID; "+untilStopped+"']\nsystemd: {socket: {ListenStream: \"127.0.0.1:7777\"}}\n")
	s.define("one.yaml", "services:\n  web:\n    rootfs: host\n    network_mode: none\n    secrets: [token]\n    command: [/bin/sh, -c, 'cat /run/secrets/token; "+untilStopped+"']\nsecrets: {token: {file: "+s.home+"/token}}\n")
	s.define("groups.yaml", "rootfs: host\nnetwork_mode: none\nsecurity_opt: [writable-cgroups=true]\ncommand: [/bin/sh, -c, 'mkdir /sys/fs/cgroup/own && echo $$$$ >/sys/fs/cgroup/own/cgroup.procs && cat /proc/self/cgroup; "+untilStopped+"']\n")
	place(t, s.home+"/token", "hush\n")
	must(t, "chown", somebody, s.home+"/token")
	must(t, "chmod", "0600", s.home+"/token")
	s.must("systemctl", "--user", "start", "svc", "w@1", "sock.socket", "one.target", "sock", "groups")
	s.says("svc", "up", "lo\n")
	s.says("w@1", "behind")
	s.says("sock", "1 of 1")
	s.says("one-web", "hush")
	s.says("groups", "0::/own")
	s.must("systemctl", "--user", "stop", "svc", "w@1", "sock.socket", "one.target", "sock", "groups")
	s.says("w@1", "before")
	for _, name := range []string{"svc", "w@1", "sock", "one-web", "groups"} {
		if result := s.property(name, "Result"); result != "success" {
			t.Errorf("%s ends with %s", name, result)
		}
		s.isGone(name)
	}
}

// What a user cannot have is an error at its line, when it is checked and when it is
// started; who has no ids is told how to get them.
func TestUserErrors(t *testing.T) {
	s := newSession(t)
	s.define("bad.yaml", "rootfs: host\ncommand: [/bin/true]\nprivileged: true\ndevices: [/dev/null]\nnetwork_mode: ns:/run/netns/x\n")
	out, status := s.run("unitc", "--user", "check")
	for _, want := range []string{"bad.yaml:3:1: error: privileged: ", "bad.yaml:4:1: error: devices: ", "bad.yaml:5:1: error: network_mode: a user has no right to the host's network namespaces"} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("unitc check exits with %d and does not say %q:\n%s", status, want, out)
		}
	}
	if out, status := s.run("systemctl", "--user", "start", "bad"); status == 0 {
		t.Errorf("it starts:\n%s", out)
	}
	if text := s.property("bad", "StatusText"); !strings.Contains(text, "bad.yaml:3:1: error: privileged: ") {
		t.Errorf("its status is %q", text)
	}
	place(t, "/etc/subuid", "another:100000:65536\n")
	s.define("good.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [/bin/true]\n")
	if out, status := s.run("systemctl", "--user", "start", "good"); status == 0 {
		t.Errorf("it starts without ids:\n%s", out)
	}
	if text, code := s.property("good", "StatusText"), s.property("good", "ExecMainStatus"); code != "217" || !strings.Contains(text, "usermod --add-subuids") {
		t.Errorf("without ids the status is %s, %q", code, text)
	}
	s.isGone("good")
	place(t, "/etc/subuid", somebody+":100000:65536\n")
	s.define("far.yaml", "rootfs: host\nnetwork_mode: none\nuser: \"70000\"\ncommand: [/bin/true]\n")
	s.define("low.yaml", "rootfs: host\nports: [\"80:80\"]\ncommand: [/bin/true]\n") // by pasta
	for name, want := range map[string]string{"far": "id 70000 of the container is not mapped", "low": "low.yaml:1:1: error: network_mode: pasta is not installed; install it"} {
		if out, status := s.run("systemctl", "--user", "start", name); status == 0 {
			t.Errorf("%s starts:\n%s", name, out)
		}
		if text := s.property(name, "StatusText"); !strings.Contains(text, want) {
			t.Errorf("the status of %s is %q", name, text)
		}
	}
	place(t, "/etc/subuid", "another:100000:65536\n")
	if out, status := s.run("unitc", "--user", "doctor"); status != 1 || !strings.Contains(out, "usermod --add-subuids") {
		t.Errorf("unitc doctor exits with %d:\n%s", status, out)
	}
	if out, status := command(t, "unitc", "--user", "ps"); status != 2 || !strings.Contains(out, "root's containers are the system's") {
		t.Errorf("root's unitc --user exits with %d: %s", status, out)
	}
	if out, status := command(t, "env", "_UNITC_IN_USER_NAMESPACE=1", "XDG_RUNTIME_DIR="+sessionRun, "HOME="+s.home, "unitc", "--user", "ps"); status != 2 {
		t.Errorf("root in no namespace takes the user's places for its own: %d: %s", status, out)
	}
	for _, verb := range []string{"devices", "boot"} {
		if out, status := s.run("unitc", "--user", verb, "ls"); status != 2 || !strings.Contains(out, "for the system's containers") {
			t.Errorf("unitc --user %s exits with %d: %s", verb, status, out)
		}
	}
}

// What restarts always starts with the user's systemd, as at boot where they linger.
func TestUserBoot(t *testing.T) {
	s := newSession(t)
	s.define("always.yaml", "rootfs: host\nnetwork_mode: none\nrestart: always\ncommand: [/bin/sh, -c, '"+untilStopped+"']\n")
	s.define("never.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, '"+untilStopped+"']\n")
	must(t, "systemctl", "restart", "user@1500.service")
	if err := eventually(func() error {
		if state := s.property("always", "ActiveState"); state != "active" {
			return fmt.Errorf("always is %s", state)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if state := s.property("never", "ActiveState"); state != "inactive" {
		t.Errorf("never is %s", state)
	}
	before := s.property("always", "MainPID")
	s.must("unitc", "--user", "kill", "always")
	if err := eventually(func() error {
		if pid := s.property("always", "MainPID"); pid == before || pid == "0" {
			return fmt.Errorf("always is not restarted: %s", pid)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.must("unitc", "--user", "enable", "never")
	if target, err := os.Readlink(s.home + "/.config/systemd/user/default.target.wants/never.service"); err != nil || target != sessionRun+"/systemd/generator.late/never.service" {
		t.Errorf("enable makes a link to %q: %v", target, err)
	}
	s.must("unitc", "--user", "disable", "never")
	file := s.home + "/new.yaml"
	place(t, file, "rootfs: host\nnetwork_mode: none\ncommand: [/bin/sh, -c, '"+untilStopped+"']\n")
	s.must("unitc", "--user", "up", file)
	if out := s.must("unitc", "--user", "ps"); !slices.ContainsFunc(strings.Split(out, "\n"), func(l string) bool { return strings.HasPrefix(l, "new ") && strings.Contains(l, "running") }) {
		t.Errorf("unitc ps says\n%s", out)
	}
	s.must("unitc", "--user", "down", "new")
	s.isGone("new")
}
