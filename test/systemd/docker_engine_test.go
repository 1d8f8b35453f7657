// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// driveDocker: Docker with the runtime added to it, above the containerd that
// runs. No bridge and no firewall: the machine's network is none of this.
func driveDocker(t *testing.T, image string) {
	daemon := background(t, "/usr/sbin/dockerd", "--add-runtime", "unitc="+ociRuntime, "--default-runtime", "unitc",
		"--containerd", "/run/containerd/containerd.sock", "--iptables=false", "--ip6tables=false", "--bridge=none", "--log-level", "warn")
	t.Cleanup(func() {
		daemon()
		_, _ = command(t, "rm", "-rf", "/var/lib/docker", "/run/docker", "/etc/docker")
	})
	if err := eventually(func() error {
		out, err := exec.Command("docker", "info", "--format", "{{.DefaultRuntime}} {{.CgroupDriver}}").CombinedOutput()
		if err == nil && !strings.HasPrefix(string(out), "unitc ") {
			err = fmt.Errorf("docker info says %s", out)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	must(t, "docker", "load", "-q", "-i", image)
	// What Docker saves is an image here.
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	if out := must(t, "sh", "-c", "docker save localhost/box:1 | unitc load -q -"); out != "localhost/box:1\n" {
		t.Errorf("what docker save wrote is loaded as %q", out)
	}
	must(t, "unitc", "verify")
	must(t, "unitc", "rmi", "localhost/box:1")
	says := func(want string, wantStatus int, args ...string) {
		t.Helper()
		out, status := command(t, "docker", args...)
		if status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("docker %q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
	}
	const box = "localhost/box:1"
	run := []string{"run", "--rm", "--network", "none"}
	says("uid=0", 0, append(run, box, "id")...)
	says("", 42, append(run, box, "sh", "-c", "exit 42")...)
	says("not found", 127, append(run, box, "nonsense")...)
	says("", 126, append(run, box, "/etc")...)
	says("uid=5 gid=6", 0, append(run, "-u", "5:6", "--read-only", "--cap-drop", "ALL", box, "id")...)
	dockerStreams(t, run, box)

	says("", 0, "run", "-d", "--name", "web", "--network", "none", "--init", "--health-cmd", "true", "--health-interval", "500ms", box, "sh", "-c", "echo a line; exec sleep 1000")
	says("unitc", 0, "inspect", "--format", "{{.HostConfig.Runtime}}", "web")
	if err := eventually(func() error {
		if out, _ := command(t, "docker", "inspect", "--format", "{{.State.Health.Status}}", "web"); out != "healthy\n" {
			return fmt.Errorf("the health is %s", out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	says("a line", 0, "logs", "web")
	says("uid=5 gid=6", 0, "exec", "-u", "5:6", "web", "id")
	says("", 7, "exec", "web", "sh", "-c", "exit 7")
	says("executable file not found in $PATH", 126, "exec", "web", "nonsense") // Docker's own status: runc's is the same
	must(t, "docker", "run", "-d", "--runtime", "runc", "--name", "peer", "--network", "none", box)
	says("executable file not found in $PATH", 126, "exec", "peer", "nonsense")
	must(t, "docker", "rm", "-f", "peer")
	says("/dev/pts/0", 0, "exec", "-t", "web", "busybox", "tty")
	says("sleep 1000", 0, "top", "web")
	says("web", 0, "stats", "--no-stream", "web")
	says("", 0, "pause", "web")
	says("paused", 0, "inspect", "--format", "{{.State.Status}}", "web")
	says("", 0, "unpause", "web")
	says("running", 0, "inspect", "--format", "{{.State.Status}}", "web")
	says("", 0, "restart", "-t", "10", "web")
	awaitOutput(t, 2, "a line", "docker", "logs", "web") // before that its init takes no signals
	says("", 0, "stop", "-t", "10", "web")
	says("143", 0, "inspect", "--format", "{{.State.ExitCode}}", "web")
	says("", 0, "rm", "web")
	noState(t, "/run/docker/runtime-unitc/moby")
	noState(t, "/run/containerd/runc/moby")
}

// dockerStreams: standard input by a pipe and on a terminal.
func dockerStreams(t *testing.T, run []string, box string) {
	t.Helper()
	cmd := exec.Command("docker", append(run, "-i", box, "cat")...)
	cmd.Stdin = strings.NewReader("passed on")
	if out, err := cmd.Output(); err != nil || string(out) != "passed on" {
		t.Errorf("standard input comes back as %q: %v", out, err)
	}
	term, terminal := onTerminal(t, append(append([]string{"docker"}, run...), "-it", box, "sh", "-c", "read x; echo got $x; exit 4")...)
	_, _ = terminal.WriteString("word\r")
	readUntil(t, terminal, "got word")
	_ = term.Wait()
	terminal.Close()
	if got := term.ProcessState.ExitCode(); got != 4 {
		t.Errorf("run -it exits with %d, want 4", got)
	}
}
