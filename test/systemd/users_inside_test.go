// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable has the test binary attack, as the payload of a user's container,
// the user and the user's other container, of which it says what the payload is told:
// process, key, path and address.
const insideVariable = "UNITC_ATTACK_FROM_INSIDE"

func init() {
	if words := strings.Fields(os.Getenv(insideVariable)); len(words) > 0 {
		attackFromInside(words)
		os.Exit(0)
	}
}

func attackFromInside(words []string) {
	pid, _ := strconv.Atoi(words[0])
	key, _ := strconv.Atoi(words[1])
	say := func(what string, err error) { fmt.Printf("inside %s: %v\n", what, err) }
	say("kill", unix.Kill(pid, 0))
	say("ptrace", unix.PtraceAttach(pid))
	_, err := unix.PidfdOpen(pid, 0)
	say("pidfd", err)
	_, err = os.Stat(fmt.Sprintf("/proc/%d/root", pid))
	say("proc", err)
	_, err = unix.KeyctlBuffer(unix.KEYCTL_READ, key, make([]byte, 100), 0)
	say("key", err)
	for _, path := range strings.Split(words[2], ",") {
		_, err := os.Stat(path)
		say("path "+path, err)
	}
	conn, err := net.Dial("unix", words[3])
	if err == nil {
		conn.Close()
	}
	say("socket", err)
	_, _, errno := unix.Syscall(unix.SYS_SHMGET, 0x4711, 1, 0)
	say("shared memory", errno)
	say("cgroup", os.WriteFile("/sys/fs/cgroup/cgroup.procs", []byte("1"), 0))
	say("new cgroup", os.Mkdir("/sys/fs/cgroup/x", 0o755))
	say("user namespace", unix.Unshare(unix.CLONE_NEWUSER))
	// With all capabilities over its own namespaces.
	if err := unix.Mount("none", "/mnt", "cgroup2", 0, ""); err != nil {
		say("mounted cgroup", err)
		return
	}
	list, err := os.ReadDir("/mnt")
	for _, entry := range list {
		if strings.HasPrefix(entry.Name(), "memory.max") || strings.HasPrefix(entry.Name(), "unitc-") {
			err = fmt.Errorf("it has %s", entry.Name())
		}
	}
	if _, up := os.Stat("/mnt/../unitc.slice"); up == nil {
		err = fmt.Errorf("it leads up")
	}
	say("mounted cgroup", err)
}

// Inside a user's container root is that user: what keeps it from the user's home,
// systemd, bus and other containers is all that keeps others from the host, also with
// all capabilities over its own namespaces and without the seccomp filter. That filter
// alone keeps it from the user's keys.
//
//lab:once
func TestUserAttackFromInside(t *testing.T) {
	s := newSession(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/unitc-attack"
	t.Cleanup(func() { os.Remove(program) })
	must(t, "install", "-m", "755", self, program)
	s.define("victim.yaml", userSleeper)
	s.must("systemctl", "--user", "start", "victim")
	key, err := unix.AddKey("user", "unitc-victim", []byte("hush"), unix.KEY_SPEC_SESSION_KEYRING)
	if err == nil {
		err = unix.KeyctlSetperm(key, 0x3f3f0000) // its user's

	}
	if err == nil {
		_, err = unix.KeyctlInt(unix.KEYCTL_CHOWN, key, 1500, 1500, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", "@unitc-victim")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	id, _, errno := unix.Syscall(unix.SYS_SHMGET, 0x4711, 1, unix.IPC_CREAT|0o666)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Syscall(unix.SYS_SHMCTL, id, unix.IPC_RMID, 0)
	paths := strings.Join([]string{s.home, sessionRun, "/run/systemd", "/run/dbus", "/proc/self/root/../home/" + somebody, "/proc/1/root" + s.home}, ",")
	told := fmt.Sprintf("%s %d %s @unitc-victim", s.property("victim", "MainPID"), key, paths)
	common := "rootfs: host\nnetwork_mode: none\nenvironment: {" + insideVariable + ": '" + told + "'}\ncommand: [" + program + "]\n"
	held := []string{"kill: no such process", "proc: stat /proc/", "shared memory: no such file", "socket: dial unix @unitc-victim: connect: connection refused"}
	for _, path := range strings.Split(paths, ",") {
		held = append(held, "path "+path+": stat "+path+": no such file")
	}
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"shut": {"", []string{"ptrace: operation not permitted", "key: operation not permitted", "cgroup: open /sys/fs/cgroup/cgroup.procs: read-only file system",
			"new cgroup: mkdir /sys/fs/cgroup/x: read-only", "user namespace: operation not permitted", "mounted cgroup: operation not permitted"}},
		"open": {"cap_add: [ALL]\nsecurity_opt: [seccomp=unconfined, systempaths=unconfined, no-new-privileges=false]\n",
			[]string{"ptrace: no such process", "key: <nil>", "mounted cgroup: <nil>"}},
	} {
		s.define(name+".yaml", common+c.more)
		s.must("systemctl", "--user", "start", name)
		var lines []string
		for _, want := range append(held, c.want...) {
			lines = append(lines, "inside "+want)
		}
		s.says(name, lines...)
	}
}

// The init that stands in front of a user's payload is the user's as well, and has
// no filter.
//
//lab:once
func TestUserInitCannotBeLookedInto(t *testing.T) {
	s := newSession(t)
	s.define("innermost.yaml", "rootfs: host\nnetwork_mode: none\ninit: true\ncommand: [/bin/sh, -c, 'echo x 2>/dev/null 1<>/proc/1/mem || echo refused; id -u; exec sleep 1000']\n")
	s.must("systemctl", "--user", "start", "innermost")
	s.says("innermost", "refused", "0")
	if out := s.must("unitc", "--user", "exec", "innermost", "cat", "/proc/2/comm"); out != "sleep\n" {
		t.Errorf("the payload is %q", out)
	}
	s.must("systemctl", "--user", "stop", "innermost")
}
