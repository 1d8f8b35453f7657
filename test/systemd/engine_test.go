// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// engineRoot makes a root file system with busybox.
func engineRoot(t *testing.T) string {
	t.Helper()
	b := newBundle(t, ociRuntime)
	t.Cleanup(func() { os.RemoveAll(b.dir) })
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return b.dir + "/rootfs"
}

// podmanConfig makes unitc-runtime Podman's own. Without cgroup controllers no
// limit can be kept, and Podman asks for one of processes unless told.
const podmanConfig = `[containers]
pids_limit = 0
[engine]
runtime = "unitc-runtime"
runtime_supports_json = ["unitc-runtime"]
events_logger = "file"
[engine.runtimes]
unitc-runtime = ["/usr/local/bin/unitc-runtime"]
`

func TestEnginePodman(t *testing.T) {
	place(t, "/etc/containers/containers.conf", podmanConfig)
	root := engineRoot(t)
	for _, manager := range []string{"cgroupfs", "systemd"} {
		podman := func(args ...string) (string, int) {
			return command(t, "podman", append([]string{"--cgroup-manager", manager}, args...)...)
		}
		says := func(want string, wantStatus int, args ...string) {
			t.Helper()
			out, status := podman(args...)
			out = strings.ReplaceAll(strings.TrimSpace(out), "\r", "")
			if status != wantStatus || !strings.Contains(out, want) {
				t.Errorf("%s: podman %q exits with %d and says %q, want %d and %q", manager, args, status, out, wantStatus, want)
			}
		}
		run := []string{"run", "--rm", "--network", "none"}
		says("uid=0", 0, append(run, "--rootfs", root, "id")...)
		says("", 42, append(run, "--rootfs", root, "sh", "-c", "exit 42")...)
		says("not found", 127, append(run, "--rootfs", root, "nonsense")...)
		says("", 126, append(run, "--rootfs", root, "/etc")...)
		says("/dev/pts/0", 0, append(run, "-t", "--rootfs", root, "tty")...)
		says("200000", 0, append(run, "--uidmap", "0:200000:1000", "--rootfs", root+":idmap", "cat", "/proc/self/uid_map")...)
		says("", 0, "run", "-d", "--name", "web", "--network", "none", "--init", "--health-cmd", "true", "--health-interval", "1h", "--rootfs", root, "sleep", "1000")
		says("uid=5 gid=6", 0, "exec", "-u", "5:6", "web", "id")
		says("", 7, "exec", "web", "sh", "-c", "exit 7")
		says("not found", 127, "exec", "web", "nonsense")
		says("/dev/pts/0", 0, "exec", "-t", "web", "tty")
		says("", 0, "healthcheck", "run", "web")
		says("healthy", 0, "ps")
		says("sleep 1000", 0, "top", "web")
		says("web", 0, "stats", "--no-stream", "web")
		says("", 0, "pause", "web")
		says("paused", 0, "inspect", "--format", "{{.State.Status}}", "web")
		says("", 0, "unpause", "web")
		says("running", 0, "inspect", "--format", "{{.State.Status}}", "web")
		says("", 0, "restart", "-t", "10", "web")
		says("", 0, "stop", "-t", "10", "web")
		says("143", 0, "inspect", "--format", "{{.State.ExitCode}}", "web")
		says("", 0, "rm", "web")
		says("", 0, "pod", "create", "--name", "pod", "--infra=false")
		says("", 0, "run", "-d", "--pod", "pod", "--name", "member", "--network", "none", "--rootfs", root, "sleep", "1000")
		says("running", 0, "inspect", "--format", "{{.State.Status}}", "member")
		says("", 0, "pod", "rm", "-f", "-t", "0", "pod")
		if entries, _ := os.ReadDir("/run/unitc-runtime"); len(entries) != 0 {
			t.Errorf("%s: state is left: %v", manager, entries)
		}
	}
	// Podman's own parent of cgroups and slices stay, as with any runtime.
	_, _ = command(t, "systemctl", "stop", "machine.slice", "libpod_parent.slice")
	_ = os.Remove("/sys/fs/cgroup/libpod_parent")
	_, _ = command(t, "podman", "system", "reset", "-f")
}

func TestEngineContainerd(t *testing.T) {
	root := engineRoot(t)
	daemon := exec.Command("containerd", "--log-level", "fatal")
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = daemon.Process.Kill(); _ = daemon.Wait() }()
	if err := eventually(func() error {
		if out, err := exec.Command("ctr", "version").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	says := func(want string, wantStatus int, args ...string) error {
		out, status := command(t, "ctr", args...)
		if status != wantStatus || !strings.Contains(out, want) {
			return fmt.Errorf("ctr %q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
		return nil
	}
	run := func(more ...string) []string {
		return append([]string{"run", "--rootfs", "--runc-binary", ociRuntime}, more...)
	}
	err := errors.Join(
		says("uid=0", 0, run("--rm", root, "one", "/bin/id")...),
		says("", 9, run("--rm", root, "two", "/bin/sh", "-c", "exit 9")...),
		says("no such file or directory", 1, run("--rm", root, "three", "/bin/nonsense")...),
		says("", 0, run("-d", root, "web", "/bin/sleep", "1000")...),
		says("uid=0", 0, "task", "exec", "--exec-id", "e", "web", "/bin/id"),
		says("", 7, "task", "exec", "--exec-id", "e", "web", "/bin/sh", "-c", "exit 7"),
		says("RUNNING", 0, "task", "ls"),
		says("web", 0, "task", "metrics", "web"),
		says("", 0, "task", "pause", "web"),
		says("PAUSED", 0, "task", "ls"),
		says("", 0, "task", "resume", "web"),
		says("", 0, "task", "kill", "-s", "KILL", "web"),
		eventually(func() error { return says("STOPPED", 0, "task", "ls") }),
	)
	if err != nil {
		t.Error(err)
	}
	_, _ = command(t, "ctr", "task", "delete", "web")
	if err := says("", 0, "container", "delete", "web"); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir("/run/containerd/runc/default"); len(entries) != 0 {
		t.Errorf("state is left: %v", entries)
	}
	// containerd's parent of cgroups stays, as with any runtime.
	_ = os.Remove("/sys/fs/cgroup/default")
}
