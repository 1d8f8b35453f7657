// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A user drives the runtime through Podman, below which it is root of a user
// namespace alone, and by hand, where it is nobody.
func TestEnginePodmanRootless(t *testing.T) {
	place(t, "/etc/containers/containers.conf", strings.Replace(podmanConfig, "[engine]\n", "[engine]\ncgroup_manager = \"cgroupfs\"\n", 1))
	root := engineRoot(t)
	home, run := becomeSomebody(t)
	must(t, "chown", "-R", somebody, root)
	says := func(want string, wantStatus int, args ...string) {
		t.Helper()
		out, status := run(append([]string{"podman"}, args...)...)
		if status != wantStatus || !strings.Contains(strings.ReplaceAll(out, "\r", ""), want) {
			t.Errorf("podman %q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
	}
	once := []string{"run", "--rm", "--network", "none"}
	says("uid=0", 0, append(once, "--rootfs", root, "id")...)
	says("", 42, append(once, "--rootfs", root, "sh", "-c", "exit 42")...)
	says("uid=5 gid=6", 0, append(once, "-u", "5:6", "--rootfs", root, "id")...)
	says("not found", 127, append(once, "--rootfs", root, "nonsense")...)
	says("/dev/pts/0", 0, append(once, "-t", "--rootfs", root, "tty")...)
	says("", 0, "run", "-d", "--name", "web", "--network", "none", "--rootfs", root, "sleep", "1000")
	says("uid=0", 0, "exec", "web", "id")
	says("", 7, "exec", "web", "sh", "-c", "exit 7")
	says("/dev/pts/0", 0, "exec", "-t", "web", "tty")
	says("sleep 1000", 0, "top", "web")
	says("running", 0, "inspect", "--format", "{{.State.Status}}", "web")
	says("", 0, "stop", "-t", "0", "web")
	says("", 0, "rm", "web")
	rootlessMappings(t, says, once, root)
	rootlessPods(t, says, root)
	noState(t, "/run/user/1500/unitc-runtime")
	rootlessByHand(t, home, root, run)
	rootlessScopes(t, root)
}

// rootlessMappings: ids of the user's range, in other orders than Podman's own.
func rootlessMappings(t *testing.T, says func(string, int, ...string), once []string, root string) {
	t.Helper()
	idmap := append(once, "--rootfs", root, "sh", "-c", `tr -s " " </proc/self/uid_map; id -u`)
	mapped := func(options ...string) []string {
		return append(slices.Clone(once), append(options, idmap[len(once):]...)...)
	}
	says(" 0 1 1000\n0\n", 0, mapped("--uidmap", "0:1:1000", "--gidmap", "0:1:1000")...)
	says(" 0 1 5\n 5 0 1\n 6 6 100\n5\n", 0, mapped("--uidmap", "0:1:5", "--uidmap", "5:0:1", "--uidmap", "6:6:100", "--gidmap", "0:0:1000", "-u", "5")...)
	says("1500\n", 0, mapped("--userns", "keep-id")...)
}

// rootlessPods: pods and images below a user's Podman.
func rootlessPods(t *testing.T, says func(string, int, ...string), root string) {
	t.Helper()
	place(t, "/etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	place(t, "/tmp/kube.yaml", kubePod)
	must(t, "tar", "-C", root, "-cf", "/tmp/box.tar", ".")
	defer os.Remove("/tmp/box.tar")
	says("", 0, "import", "-q", "/tmp/box.tar", "localhost/box")
	says("image", 0, "run", "--rm", "--network", "none", "localhost/box", "echo", "image")
	says("      65536", 0, "run", "--rm", "--network", "none", "--userns=auto:size=65536", "localhost/box", "cat", "/proc/self/uid_map")
	says("", 0, "kube", "play", "--network", "none", "/tmp/kube.yaml")
	says("uid=0", 0, "exec", "kube-one", "id")
	says("sleep 1000", 0, "pod", "top", "kube")
	says("", 0, "kube", "down", "/tmp/kube.yaml")
	says("", 0, "run", "-d", "--name", "well", "--network", "none", "--health-cmd", "true", "--health-interval", "disable", "localhost/box", "sh", "-c", "echo a line; exec sleep 1000")
	says("", 0, "healthcheck", "run", "well")
	says("a line", 0, "logs", "well")
	says("", 0, "rm", "-f", "-t", "0", "well")
}

// rootlessScopes: as on a machine to which the user has logged in, where their
// own systemd makes the cgroups, and a container can be paused and counted.
func rootlessScopes(t *testing.T, root string) {
	place(t, "/etc/containers/containers.conf", strings.Replace(podmanConfig, "[engine]\n", "[engine]\ncgroup_manager = \"systemd\"\n", 1))
	must(t, "systemctl", "start", "user@1500.service")
	t.Cleanup(func() { must(t, "systemctl", "stop", "user@1500.service", "user-1500.slice") })
	session := []string{"-u", somebody, "--", "env", "-C", "/home/" + somebody, "XDG_RUNTIME_DIR=/run/user/1500", "systemd-run", "--user", "--quiet", "--pipe", "--wait", "--collect", "--same-dir", "--property=KillMode=process", "podman"}
	says := func(want string, wantStatus int, args ...string) {
		t.Helper()
		out, status := command(t, "runuser", append(slices.Clone(session), args...)...)
		if status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("podman %q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
	}
	says("systemd", 0, "info", "--format", "{{.Host.CgroupManager}}")
	says("/user@1500.service/user.slice/libpod-", 0, "run", "--rm", "--network", "none", "--cgroupns", "host", "--rootfs", root, "cat", "/proc/self/cgroup")
	says("", 42, "run", "--rm", "--network", "none", "--rootfs", root, "sh", "-c", "exit 42")
	says("", 0, "run", "-d", "--name", "web", "--network", "none", "--rootfs", root, "sleep", "1000")
	says("uid=0", 0, "exec", "web", "id")
	says("web", 0, "stats", "--no-stream", "web")
	says("", 0, "pause", "web")
	says("paused", 0, "inspect", "--format", "{{.State.Status}}", "web")
	says("", 0, "unpause", "web")
	says("running", 0, "inspect", "--format", "{{.State.Status}}", "web")
	says("", 0, "stop", "-t", "0", "web")
	says("", 0, "rm", "web")
	noState(t, "/run/user/1500/unitc-runtime")
	says("", 0, "system", "migrate")
}

// rootlessByHand is `spec --rootless` and the life of its container, with the
// caller's id alone and with more.
func rootlessByHand(t *testing.T, home, root string, run func(...string) (string, int)) {
	t.Helper()
	says := func(want string, wantStatus int, script string) {
		t.Helper()
		out, status := run("sh", "-c", "cd "+home+"/bundle && "+script)
		if status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("%s exits with %d and says %q, want %d and %q", script, status, out, wantStatus, want)
		}
	}
	if out, status := run("sh", "-c", "mkdir bundle && ln -s "+root+" bundle/rootfs"); status != 0 {
		t.Fatal(out)
	}
	const rt = ociRuntime
	says("", 0, rt+` spec --rootless && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sh", "-c", "id; sleep 1000"/' config.json`)
	for _, ids := range []string{"1", "65537"} {
		says("", 0, rt+" create --pid-file pid box </dev/null >out 2>&1; cat out; test -s pid")
		says(`"created"`, 0, rt+" state box")
		says("", 0, rt+" start box")
		says(`"running"`, 0, rt+" state box")
		says("uid=0", 0, rt+" exec box id")
		says("box", 0, rt+" list -q")
		says(ids+"\n", 0, rt+` exec box awk '{n += $3} END {print n}' /proc/self/uid_map`)
		says("", 7, rt+" exec box sh -c 'exit 7'")
		says("", 0, rt+" kill box KILL")
		if err := eventually(func() error {
			if out, _ := run(rt, "state", "box"); !strings.Contains(out, `"stopped"`) {
				return fmt.Errorf("%s", out)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		says("", 0, rt+" delete box")
		says("", 0, `tr -d '\n\t' <config.json | sed 's/"size": 1}/"size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}/g' >more && mv more config.json`)
	}
	says("user namespaces", 1, rt+" spec --bundle .. ; cp ../config.json . && "+rt+" create box")
	noState(t, "/run/user/1500/unitc-runtime")
}
