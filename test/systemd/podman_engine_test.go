// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const kubePod = `apiVersion: v1
kind: Pod
metadata: {name: kube}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: one, image: localhost/box, imagePullPolicy: Never, command: [sleep, "1000"]}
  - {name: two, image: localhost/box, imagePullPolicy: Never, command: [sleep, "1000"]}
`

// Pods of Kubernetes' words, ids that Podman chooses, standard input, and units
// that Quadlet makes: all by way of an image, as people do.
func TestEnginePodmanPods(t *testing.T) {
	place(t, "/etc/containers/containers.conf", podmanConfig)
	place(t, "/etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	place(t, "/etc/subuid", "containers:2000000:1000000\n")
	place(t, "/etc/subgid", "containers:2000000:1000000\n")
	root := engineRoot(t)
	place(t, "/tmp/kube.yaml", kubePod)
	must(t, "sh", "-c", "tar -C "+root+" -c . | podman import -q - localhost/box")
	says := func(want string, wantStatus int, args ...string) {
		t.Helper()
		out, status := command(t, "podman", args...)
		if status != wantStatus || !strings.Contains(out, want) {
			t.Errorf("podman %q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
		}
	}
	says("image", 0, "run", "--rm", "--network", "none", "localhost/box", "echo", "image")
	says("   2000000 ", 0, "run", "--rm", "--network", "none", "--userns=auto", "localhost/box", "cat", "/proc/self/uid_map")
	says("ok", 0, "run", "--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", "localhost/box", "sh", "-c", "! touch /dev/x 2>/dev/null && echo >/dev/null && echo ok")
	cmd := exec.Command("podman", "run", "-i", "--rm", "--network", "none", "localhost/box", "cat")
	cmd.Stdin = strings.NewReader("passed on")
	if out, err := cmd.Output(); err != nil || string(out) != "passed on" {
		t.Errorf("standard input comes back as %q: %v", out, err)
	}
	term, terminal := onTerminal(t, "podman", "run", "-it", "--rm", "--name", "typed", "--network", "none", "localhost/box", "sh", "-c", "read x; echo got $x; exit 4")
	_, _ = terminal.WriteString("word\r")
	readUntil(t, terminal, "got word")
	_ = term.Wait()
	terminal.Close()
	if got := term.ProcessState.ExitCode(); got != 4 {
		t.Errorf("run -it exits with %d, want 4", got)
	}

	says("", 0, "kube", "play", "--network", "none", "/tmp/kube.yaml")
	says("Running", 0, "pod", "ps")
	says("uid=0", 0, "exec", "kube-one", "id")
	says("", 0, "pod", "pause", "kube")
	says("", 0, "pod", "unpause", "kube")
	says("kube-two", 0, "pod", "stats", "--no-stream", "kube")
	says("", 0, "kube", "down", "/tmp/kube.yaml")

	place(t, "/etc/containers/systemd/quad.container", "[Container]\nImage=localhost/box\nPull=never\nNetwork=none\nExec=sh -c 'trap exit TERM; while :; do sleep 0.1; done'\nGlobalArgs=--runtime "+ociRuntime+"\n")
	reload(t)
	must(t, "systemctl", "start", "quad")
	says(ociRuntime+" running", 0, "inspect", "--format", "{{.OCIRuntime}} {{.State.Status}}", "systemd-quad")
	must(t, "systemctl", "stop", "quad")
	if got := property(t, "quad", "Result"); got != "success" {
		t.Errorf("the unit of Quadlet ends with %s", got)
	}
	_ = os.Remove("/etc/containers/systemd/quad.container")
	reload(t)
	if entries, _ := os.ReadDir("/run/unitc-runtime"); len(entries) != 0 {
		t.Errorf("state is left: %v", entries)
	}
	_, _ = command(t, "podman", "system", "reset", "-f")
	_, _ = command(t, "systemctl", "stop", "machine.slice")
	_ = os.Remove("/sys/fs/cgroup/libpod_parent")
}
