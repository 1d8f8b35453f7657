// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// as is a command of the user's that has not begun.
func (s *session) as(args ...string) *exec.Cmd {
	return exec.Command("runuser", append([]string{"-u", somebody, "--", "env", "-C", s.home, "HOME=" + s.home, "XDG_RUNTIME_DIR=" + sessionRun, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, args...)...)
}

// noRuns: nothing is left of containers that ran once.
func (s *session) noRuns() {
	s.t.Helper()
	if err := eventually(func() error {
		for _, pattern := range []string{sessionRun + "/systemd/user/*", sessionRun + "/unitc/.run-*", sessionRun + "/unitc/[a-z]*", "/sys/fs/cgroup/user.slice/user-1500.slice/user@1500.service/unitc.slice/*.s[ce]*e"} {
			if left, _ := filepath.Glob(pattern); len(left) > 0 {
				return fmt.Errorf("%q are left", left)
			}
		}
		if out := s.must("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "run-*.service", "once*"); out != "" {
			return fmt.Errorf("units are left: %s", out)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// A user's container in the foreground, as TestRun has it of root's, also one of
// other ids than the user's.
func TestUserRun(t *testing.T) {
	s := newSession(t)
	run := func(args ...string) (string, int) {
		t.Helper()
		return s.run(append([]string{"unitc", "--user", "run"}, args...)...)
	}
	place(t, s.home+"/file.yaml", "rootfs: host\nnetwork_mode: none\nrestart: always\nx-wait-for: path:/no/such\nenvironment: {A: \"${GREETING}\"}\ncommand: [sh, -c, 'echo $$A; cat /mnt/file; exit 3']\nvolumes: [\"./beside:/mnt/file:ro\"]\n")
	place(t, s.home+"/file.env", "GREETING=hello\n")
	place(t, s.home+"/beside", "beside\n")
	place(t, s.home+"/pair.yaml", "services: {a: {rootfs: host, command: x}}\n")
	here := []string{"--rootfs", "host", "--network", "none"}
	for _, c := range []struct {
		args   []string
		out    string
		status int
	}{
		{append(here, "sh", "-c", "echo out; exit 42"), "out\n", 42},
		{append(here, "-u", "33", "sh", "-c", "echo $(id -u) >/dev/stdout; kill -9 $$; sleep 0.1; exit 3"), "33\n", 3},
		{append(here, "cat"), "", 0},
		{[]string{"--file", "file.yaml"}, "hello\nbeside\n", 3},
		{[]string{"-f", "file.yaml", "-e", "A=option", "sh", "-c", "echo $A"}, "option\n", 0},
	} {
		if out, status := run(c.args...); out != c.out || status != c.status {
			t.Errorf("%q: %d %q, want %d %q", c.args, status, out, c.status, c.out)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{append(here, "no-such-program"), 125, "no-such-program"},
		{append(here, "--privileged", "sh"), 125, "unitc: --privileged: a user has no privilege to give"},
		{[]string{"--bundle", "/srv"}, 125, "unitc: --bundle: bundles are root's"},
		{[]string{"--pull", "never", "no.example/image", "sh"}, 125, "unitc --user pull no.example/image"},
		{[]string{"-f", "pair.yaml"}, 2, "unitc --user up pair.yaml"},
	} {
		if out, status := run(c.args...); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d, want %d and %q:\n%s", c.args, status, c.status, c.says, out)
		}
	}
	cmd := s.as(append([]string{"unitc", "--user", "run", "-i"}, append(here, "cat")...)...)
	cmd.Stdin = strings.NewReader("typed\n")
	if out, err := cmd.Output(); err != nil || string(out) != "typed\n" {
		t.Errorf("with input: %q, %v", out, err)
	}
	cmd, screen := onTerminal(t, s.as(append([]string{"unitc", "--user", "run", "-it"}, append(here, "-u", "33", "sh")...)...).Args...)
	fmt.Fprint(screen, "stty size; tty; exit 9\r")
	readUntil(t, screen, "33 111\r\n/dev/")
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("on a terminal: %v", cmd.ProcessState)
	}
	screen.Close()
	s.noRuns()
}

// Left running, it is one of the user's containers; its name is taken, and a stop takes
// all of it away.
func TestUserRunDetached(t *testing.T) {
	s := newSession(t)
	out := s.must("unitc", "--user", "run", "-d", "--name", "once", "--rootfs", "host", "--network", "none", "-u", "33", "sh", "-c", "echo it runs; "+untilStopped)
	if out != "once\n" {
		t.Errorf("run -d says %q", out)
	}
	s.says("once", "it runs")
	if out := s.must("unitc", "--user", "ps"); !strings.Contains(out, "once ") || !strings.Contains(out, "running") {
		t.Errorf("unitc ps says\n%s", out)
	}
	s.must("unitc", "--user", "exec", "once", "true")
	s.must("systemctl", "--user", "daemon-reload")
	if out := s.must("unitc", "--user", "diff"); strings.Contains(out, "once") {
		t.Errorf("it has no file to differ from:\n%s", out)
	}
	if out, status := s.run("unitc", "--user", "run", "--name", "once", "--rootfs", "host", "true"); status != 2 || !strings.Contains(out, "already") {
		t.Errorf("the name once more: %d\n%s", status, out)
	}
	// Root's of the same name is another one.
	must(t, "unitc", "run", "--name", "once", "--rootfs", "host", "true")
	s.must("systemctl", "--user", "stop", "once")
	s.must("systemctl", "--user", "daemon-reload")
	s.isGone("once")
	s.noRuns()
}

// Interrupts at any moment, and a kill, leave nothing but what can be stopped; what was
// left before the start the next one takes away.
func TestUserRunInterrupted(t *testing.T) {
	s := newSession(t)
	for _, delay := range []string{"0.02", "0.05", "0.1", "0.2", "0.4"} {
		out, status := s.run("timeout", "-k", "60", "-s", "INT", delay, "unitc", "--user", "run", "--init", "--rootfs", "host", "--network", "none", "-u", "33", "sh", "-c", "trap 'exit 0' INT; sleep 1000 & wait")
		if status != 124 {
			t.Errorf("interrupted after %s s: %d\n%s", delay, status, out)
		}
	}
	s.noRuns()
	cmd := s.as("unitc", "--user", "run", "--name", "once", "--rootfs", "host", "--network", "none", "sh", "-c", "echo ready; "+untilStopped)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 6))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := command(t, "pkill", "-KILL", "-u", somebody, "-x", "unitc"); out != "" {
		t.Error(out)
	}
	_ = cmd.Wait()
	s.must("systemctl", "--user", "stop", "once")
	s.noRuns()

	dir := sessionRun + "/unitc/.run-once"
	must(t, "install", "-d", "-o", somebody, "-g", somebody, dir)
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, long, long); err != nil {
		t.Fatal(err)
	}
	place(t, sessionRun+"/systemd/user/once.service", "# Made by unitc run.\n[Service]\nExecStart=true\n")
	place(t, sessionRun+"/systemd/user/own.service", "[Service]\nExecStart=true\n")
	s.must("unitc", "--user", "run", "--rootfs", "host", "--network", "none", "true")
	if units, _ := filepath.Glob(sessionRun + "/systemd/user/*"); len(units) != 1 || filepath.Base(units[0]) != "own.service" {
		t.Errorf("%q are left", units)
	}
	if err := unix.Access(dir, unix.F_OK); err == nil {
		t.Errorf("%s is left", dir)
	}
}

// The image is fetched for the user if it is missing; one on networks of its own ends
// with them.
//
//lab:once
func TestUserRunImage(t *testing.T) {
	r := startRegistry(t)
	s := newSession(t)
	name := r.offer(t, "app:1", `{"Cmd": ["/bin/sh", "-c", "echo the image; exit 4"]}`)
	if out, status := s.run("unitc", "--user", "run", "--network", "none", name); status != 4 || !strings.HasSuffix(out, "the image\n") {
		t.Errorf("the image's own command: %d\n%s", status, out)
	}
	if left, _ := filepath.Glob(s.home + "/.local/share/unitc/containers/*"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	s.define("back.network.yaml", "internal: true\n")
	place(t, s.home+"/net.yaml", "image: "+name+"\nnetworks: [back]\ncommand: [sh, -c, 'ls /sys/class/net; exit 5']\n")
	if out, status := s.run("unitc", "--user", "run", "--file", "net.yaml"); status != 5 || !strings.HasSuffix(out, "eth0\nlo\n") {
		t.Errorf("on a network: %d\n%s", status, out)
	}
	s.noRuns()
	s.noNetworks()
}
