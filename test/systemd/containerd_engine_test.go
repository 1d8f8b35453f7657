// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// containerdConfig makes unitc-runtime containerd's own. Version 2 of it is read
// by containerd 2 as well. Not every machine lets its root lower the OOM score.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "unitc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.unitc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.unitc.options]
        BinaryName = "%s"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
`

// unlimited takes out what every pod asks for and a machine without the controller
// of processors cannot keep: two shares of it. The VM has controllers.
const unlimited = `#!/bin/sh
case " $* " in *" create "*)
	for last; do
		[ "$flag" = --bundle ] && sed -i 's/"cpu":{"shares":[0-9]*}/"cpu":{}/' "$last/config.json"
		flag=$last
	done
esac
exec /usr/local/bin/unitc-runtime "$@"
`

// Each containerd starts once, and is driven by ctr, by what a kubelet calls, and
// by Docker.
func TestEngineContainerd(t *testing.T) {
	root := engineRoot(t)
	box := savedImage(t, "localhost/box:1", `{"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin"]}`)
	pause := savedImage(t, "localhost/pause:1", `{"Cmd": ["/bin/sleep", "100000"]}`)
	for _, c := range []struct {
		version, programs string
		docker            bool
	}{{"1.7", "/usr/bin", true}, {"2", "/opt/containerd-2", false}} {
		t.Run(c.version, func(t *testing.T) {
			startContainerd(t, c.programs, c.version)
			ctr := func(args ...string) (string, int) { return command(t, c.programs+"/ctr", args...) }
			t.Run("ctr", func(t *testing.T) { driveCtr(t, ctr, root) })
			for _, image := range []string{box, pause} {
				if out, status := ctr("-n", "k8s.io", "images", "import", image); status != 0 {
					t.Fatalf("importing %s: %s", image, out)
				}
			}
			t.Run("cri", driveCRI)
			if c.docker {
				t.Run("docker", func(t *testing.T) { driveDocker(t, box) })
			}
		})
	}
}

// startContainerd starts the daemon, and ends it with all that it kept.
func startContainerd(t *testing.T, programs, version string) {
	t.Helper()
	binary := ociRuntime
	if !hasController("cpu") {
		binary = "/usr/local/bin/unlimited-runtime"
		place(t, binary, unlimited)
		must(t, "chmod", "755", binary)
	}
	place(t, "/etc/containerd/config.toml", fmt.Sprintf(containerdConfig, binary))
	place(t, "/etc/cni/net.d/10-lab.conf", `{"cniVersion": "1.0.0", "name": "lab", "type": "bridge", "bridge": "lab-cni", "isGateway": true,
	"ipam": {"type": "host-local", "ranges": [[{"subnet": "192.0.2.0/24"}]]}}`)
	daemon := background(t, programs+"/containerd", "--log-level", "warn")
	if err := eventually(func() error {
		out, err := exec.Command(programs+"/ctr", "version").CombinedOutput()
		if err != nil || !strings.Contains(string(out), " v"+version) && !strings.Contains(string(out), " "+version) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon()
		for _, dir := range []string{"/run/containerd", "/var/lib/containerd", "/var/lib/cni"} {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
		_, _ = command(t, "ip", "link", "delete", "lab-cni")
		_ = os.Remove("/run/netns")
		// containerd's parents of cgroups stay, as with any runtime.
		_ = os.Remove("/sys/fs/cgroup/default")
		_ = os.Remove("/sys/fs/cgroup/lab-pods")
	})
}

func hasController(name string) bool {
	b, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return slices.Contains(strings.Fields(string(b)), name)
}

// background starts a daemon with the programs beside it in its path, and gives
// what ends it. What it has said is shown with a failure.
func background(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	log, err := os.CreateTemp("", "daemon")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+name[:strings.LastIndexByte(name, '/')]+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s says:\n%s", name, said)
		}
		log.Close()
		os.Remove(log.Name())
	}
	return stop
}

func driveCtr(t *testing.T, ctr func(...string) (string, int), root string) {
	says := func(want string, wantStatus int, args ...string) error {
		out, status := ctr(args...)
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
		says("PID", 0, "task", "ps", "web"),
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
	_, _ = ctr("task", "delete", "web")
	if err := says("", 0, "container", "delete", "web"); err != nil {
		t.Error(err)
	}
	noState(t, "/run/containerd/runc/default")
}

// noState: an engine that has deleted its containers leaves none of ours.
func noState(t *testing.T, dir string) {
	t.Helper()
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("state is left in %s: %v", dir, entries)
	}
}
