// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
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
runtime_supports_nocgroup = ["unitc-runtime"]
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
		says("uid=0", 0, append(run, "--cgroups=disabled", "--rootfs", root, "id")...)
		says("", 42, append(run, "--rootfs", root, "sh", "-c", "exit 42")...)
		says("not found", 127, append(run, "--rootfs", root, "nonsense")...)
		says("", 126, append(run, "--rootfs", root, "/etc")...)
		says("/dev/pts/0", 0, append(run, "-t", "--rootfs", root, "tty")...)
		says("200000", 0, append(run, "--uidmap", "0:200000:1000", "--rootfs", root+":idmap", "cat", "/proc/self/uid_map")...)
		says("", 0, "run", "-d", "--name", "web", "--network", "none", "--init", "--health-cmd", "true", "--health-interval", "1h", "--log-driver", "k8s-file", "--rootfs", root, "sh", "-c", "echo a line; exec sleep 1000")
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
		awaitOutput(t, 1, "a line", "podman", "--cgroup-manager", manager, "logs", "web")
		says("", 0, "restart", "-t", "10", "web")
		awaitOutput(t, 2, "a line", "podman", "--cgroup-manager", manager, "logs", "web") // before that its init takes no signals
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

// awaitOutput waits until a command shows a line as often as it was written.
func awaitOutput(t *testing.T, times int, line string, command ...string) {
	t.Helper()
	if err := eventually(func() error {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err == nil && strings.Count(string(out), line) < times {
			err = fmt.Errorf("%q shows %q fewer than %d times: %s", command, line, times, out)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
