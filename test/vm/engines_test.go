// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// engineBox has what engines ask for: a root file system, and our name as that
// of Podman's runtime.
func engineBox(t *testing.T) string {
	t.Helper()
	const conf = "/etc/containers/containers.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(`[engine]
runtime = "unitc-runtime"
runtime_supports_json = ["unitc-runtime"]
events_logger = "file"
[engine.runtimes]
unitc-runtime = ["/usr/local/bin/unitc-runtime"]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(conf) })
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "sh", "-c", "cd "+root+" && mkdir bin proc sys dev etc tmp run && cp /bin/busybox bin && chroot . /bin/busybox --install -s /bin")
	return root
}

// held checks files of a cgroup: "pids.max=5".
func held(t *testing.T, when, group string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		file, value, _ := strings.Cut(want, "=")
		data, err := os.ReadFile(group + "/" + file)
		if got := strings.TrimSpace(string(data)); err != nil || got != value {
			t.Errorf("%s: %s is %q (%v), want %q", when, file, got, err, value)
		}
	}
}

// Limits go through Podman to the kernel, are changed while the container runs,
// are what its figures say, and bite.
func TestEnginePodmanLimits(t *testing.T) {
	root := engineBox(t)
	for _, manager := range []string{"systemd", "cgroupfs"} {
		t.Run(manager, func(t *testing.T) { podmanLimits(t, manager, root) })
	}
}

func podmanLimits(t *testing.T, manager, root string) {
	podman := func(args ...string) string {
		t.Helper()
		return run(t, "timeout", append([]string{"180", "podman", "--cgroup-manager", manager}, args...)...)
	}
	limits := []string{"--network", "none", "--memory", "64m", "--memory-swap", "96m", "--pids-limit", "20", "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0"}
	podman(append(append([]string{"run", "-d", "--name", "web"}, limits...), "--rootfs", root, "sleep", "1000")...)
	t.Cleanup(func() { podman("rm", "-f", "-t", "0", "--all") })
	id := podman("inspect", "--format", "{{.Id}}", "web")
	group := "/sys/fs/cgroup" + podman("inspect", "--format", "{{.State.CgroupPath}}", "web")
	if want := map[string]string{"systemd": "/machine.slice/libpod-" + id + ".scope", "cgroupfs": "/libpod_parent/libpod-" + id}[manager]; !strings.HasPrefix(group, "/sys/fs/cgroup"+want) {
		t.Errorf("its cgroup is %s, want %s", group, want)
	}
	held(t, "at the start", group, "memory.max=67108864", "memory.swap.max=33554432", "pids.max=20", "cpu.max=50000 100000", "cpu.weight=59", "cpuset.cpus=0")
	podman("update", "--memory", "80m", "--memory-swap", "80m", "web")
	podman("update", "--pids-limit", "12", "--cpus", "0.25", "web")
	run(t, "systemctl", "daemon-reload")
	changed := []string{"memory.max=83886080", "memory.swap.max=0", "pids.max=12", "cpu.max=25000 100000", "cpu.weight=59", "cpuset.cpus=0"}
	held(t, "after updates", group, changed...)
	if manager == "systemd" {
		if got := run(t, "systemctl", "show", "-p", "MemoryMax,TasksMax", filepath.Base(group)); got != "MemoryMax=83886080\nTasksMax=12" {
			t.Errorf("systemd has %q", got)
		}
	}
	t.Run("stats", func(t *testing.T) {
		podmanStats(t, manager, podman("stats", "--no-stream", "--format", "json", "web"), id)
	})
	crowd := exec.Command("timeout", "180", "podman", "--cgroup-manager", manager, "exec", "web", "sh", "-c", "for i in $(seq 30); do sleep 100 >/dev/null 2>&1 & done")
	if out, err := crowd.CombinedOutput(); err == nil || !strings.Contains(string(out), "can't fork: Resource temporarily unavailable") {
		t.Errorf("30 processes under a limit of 12: %v: %s", err, out)
	}
	podman("rm", "-f", "-t", "0", "web")
	if _, err := os.Stat(group); err == nil {
		t.Errorf("%s is left", group)
	}
	podmanOutOfMemory(t, manager, podman, root)
}

// podmanOutOfMemory: a process that takes too much is killed, and Podman says so.
func podmanOutOfMemory(t *testing.T, manager string, podman func(...string) string, root string) {
	greedy := exec.Command("timeout", "180", "podman", "--cgroup-manager", manager, "run", "--name", "greedy", "--network", "none", "--memory", "32m", "--memory-swap", "32m", "--rootfs", root,
		"dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1")
	if out, err := greedy.CombinedOutput(); greedy.ProcessState.ExitCode() != 137 {
		t.Errorf("the greedy one ends with %v: %s", err, out)
	}
	// systemd may have removed a scope before conmon reads there what has ended the
	// only process; a cgroup of ours stays until it is deleted.
	if got := podman("inspect", "--format", "{{.State.OOMKilled}}", "greedy"); got != "true" && manager == "cgroupfs" {
		t.Errorf("of a process that was killed podman says %s", got)
	}
}

// podmanStats compares Podman's figures, and ours, with what the limits are.
func podmanStats(t *testing.T, manager, text, id string) {
	var list []struct {
		MemUsage string `json:"mem_usage"`
		PIDs     any    `json:"pids"`
		CPUTime  string `json:"cpu_time"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 {
		t.Fatalf("podman stats: %v: %s", err, text)
	}
	s := list[0]
	pids := fmt.Sprint(s.PIDs)
	if !strings.HasSuffix(s.MemUsage, "/ 83.89MB") || strings.HasPrefix(s.MemUsage, "0B") || pids == "0" || pids == "" || s.CPUTime == "" || s.CPUTime == "0s" {
		t.Errorf("podman stats: %s", text)
	}
	var e struct {
		Data struct {
			CPU    struct{ Usage struct{ Total uint64 } }
			Memory struct{ Usage struct{ Limit, Usage uint64 } }
			Pids   struct{ Current, Limit uint64 }
		}
	}
	if err := json.Unmarshal([]byte(run(t, "unitc-runtime", "events", "--stats", id)), &e); err != nil {
		t.Fatal(err)
	}
	if d := e.Data; d.CPU.Usage.Total == 0 || d.Memory.Usage.Limit != 80<<20 || d.Memory.Usage.Usage == 0 || d.Pids.Current == 0 || d.Pids.Limit != 12 {
		t.Errorf("%s: events --stats: %+v", manager, d)
	}
}

// containerd passes limits in the configuration and changes them by `update`; of
// a payload that is killed for want of memory its shim tells.
func TestEngineContainerdLimits(t *testing.T) {
	root := engineBox(t)
	daemon := exec.Command("containerd", "--log-level", "warn")
	log, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
		log.Close()
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("containerd says:\n%s", said)
		}
	})
	await(t, "containerd answers", func() bool { return exec.Command("ctr", "version").Run() == nil })
	box := func(name string, command ...string) {
		t.Helper()
		run(t, "ctr", append([]string{"run", "-d", "--rootfs", "--runc-binary", "/usr/local/bin/unitc-runtime", "--memory-limit", "33554432", "--cpus", "0.5", root, name}, command...)...)
		t.Cleanup(func() {
			_ = exec.Command("ctr", "task", "kill", "-s", "KILL", name).Run() // it may have ended
			await(t, name+" is gone", func() bool {
				_ = exec.Command("ctr", "task", "delete", name).Run()
				return exec.Command("ctr", "container", "delete", name).Run() == nil
			})
		})
	}
	box("web", "/bin/sleep", "1000")
	group := "/sys/fs/cgroup/default/web"
	held(t, "of ctr", group, "memory.max=33554432", "cpu.max=50000 100000")
	if figures := run(t, "ctr", "task", "metrics", "--format", "json", "web"); !strings.Contains(figures, "33554432") {
		t.Errorf("ctr task metrics has no limit: %s", figures)
	}
	events := exec.Command("ctr", "events")
	told, err := os.Create(t.TempDir() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	events.Stdout = told
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = events.Process.Kill()
		_ = events.Wait()
	}()
	says := func(word string) bool {
		text, _ := os.ReadFile(told.Name())
		return strings.Contains(string(text), word)
	}
	await(t, "events are told", func() bool {
		run(t, "ctr", "namespaces", "label", "default", fmt.Sprintf("asked=%d", time.Now().UnixNano()))
		return says("/namespaces/update")
	})
	box("greedy", "/bin/sh", "-c", "until [ -e /go ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/null bs=100M count=1; sleep 1000")
	await(t, "an event tells of its start", func() bool { return says("/tasks/start") })
	write(t, root+"/go", "")
	deadline := time.Now().Add(3 * time.Minute)
	for !says("/tasks/oom") {
		if time.Now().After(deadline) {
			t.Fatal("no event tells of a process that was killed")
		}
		time.Sleep(100 * time.Millisecond)
	}
}
