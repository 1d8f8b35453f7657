// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// object is JSON of the CRI, whose names are in snake_case.
type object = map[string]any

// The CRI's NamespaceMode.
const (
	modePod, modeNode = 0, 2
)

// call makes a call of the CRI that must succeed.
func call(t *testing.T, method string, request object) object {
	t.Helper()
	response, err := tryCall(method, request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func tryCall(method string, request object) (object, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd := exec.Command("/usr/local/bin/cri", method)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(data)), &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", method, err, said.String())
	}
	response := object{}
	return response, json.Unmarshal(out, &response)
}

// dig follows names through objects and gives what is there as text.
func dig(from object, names ...string) string {
	var at any = from
	for _, name := range names {
		o, ok := at.(object)
		if !ok {
			return ""
		}
		at = o[name]
	}
	if at == nil {
		return ""
	}
	if f, ok := at.(float64); ok {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprint(at)
}

// pod is a sandbox with its containers.
type pod struct {
	t      *testing.T
	id     string
	config object
}

func runPod(t *testing.T, name string, network int) *pod {
	t.Helper()
	p := &pod{t: t, config: object{
		"metadata": object{"name": name, "uid": name + "-uid", "namespace": "default"}, "log_directory": t.TempDir(),
		"linux": object{"cgroup_parent": "/lab-pods", "security_context": object{"namespace_options": object{"network": network, "pid": modePod}}},
	}}
	if network == modePod {
		p.config["hostname"] = name
	}
	p.id = dig(call(t, "RunPodSandbox", object{"config": p.config, "runtime_handler": "unitc"}), "pod_sandbox_id")
	return p
}

// start makes a container and starts it; it gives its id.
func (p *pod) start(name string, command ...string) string {
	p.t.Helper()
	return p.startWith(object{}, name, command...)
}

// startWith is start with more of a ContainerConfig.
func (p *pod) startWith(more object, name string, command ...string) string {
	p.t.Helper()
	security := object{
		"namespace_options": p.config["linux"].(object)["security_context"].(object)["namespace_options"],
		"seccomp":           object{"profile_type": 0}, "no_new_privs": true, "readonly_rootfs": true, "run_as_user": object{"value": 1000},
	}
	config := object{
		"metadata": object{"name": name}, "image": object{"image": "localhost/box:1"}, "command": command, "log_path": name + ".log",
		"linux": object{"security_context": security},
	}
	maps.Copy(config, more)
	id := dig(call(p.t, "CreateContainer", object{"pod_sandbox_id": p.id, "sandbox_config": p.config, "config": config}), "container_id")
	call(p.t, "StartContainer", object{"container_id": id})
	return id
}

// exec gives what a command in a container says, and its status.
func (p *pod) exec(id string, command ...string) (string, string) {
	p.t.Helper()
	r := call(p.t, "ExecSync", object{"container_id": id, "cmd": command, "timeout": 60})
	var text struct{ Stdout, Stderr []byte }
	data, _ := json.Marshal(r)
	if err := json.Unmarshal(data, &text); err != nil {
		p.t.Fatal(err)
	}
	return string(text.Stdout) + string(text.Stderr), dig(r, "exit_code")
}

func (p *pod) remove() {
	p.t.Helper()
	call(p.t, "StopPodSandbox", object{"pod_sandbox_id": p.id})
	call(p.t, "RemovePodSandbox", object{"pod_sandbox_id": p.id})
}

// driveCRI does what a kubelet does.
func driveCRI(t *testing.T) {
	status := call(t, "Status", object{})
	if text := fmt.Sprint(status); !strings.Contains(text, "RuntimeReady") {
		t.Fatalf("containerd's status is %s", text)
	}
	for _, image := range []string{"localhost/box:1", "localhost/pause:1"} {
		if err := eventually(func() error {
			r, err := tryCall("ImageStatus", object{"image": object{"image": image}})
			if err == nil && r["image"] == nil {
				err = fmt.Errorf("there is no image %s", image)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("pod", criPod)
	t.Run("network", criNetwork)
	for _, list := range []string{"ListContainers", "ListPodSandbox"} {
		if r := call(t, list, object{}); fmt.Sprint(r) != "map[]" {
			t.Errorf("%s has %v", list, r)
		}
	}
	noState(t, "/run/containerd/runc/k8s.io")
}

func criPod(t *testing.T) {
	p := runPod(t, "pod", modeNode)
	id := p.start("main", "/bin/sh", "-c", "echo to stdout; echo to stderr >&2; exec sleep 1000")
	state := func(want string) error {
		if got := dig(call(t, "ContainerStatus", object{"container_id": id}), "status", "state"); got != want {
			return fmt.Errorf("the state of the container is %q, want %s", got, want)
		}
		return nil
	}
	if err := state("1"); err != nil { // CONTAINER_RUNNING
		t.Error(err)
	}
	criLog(t, p.config["log_directory"].(string)+"/main.log")
	if out, status := p.exec(id, "sh", "-c", "id -u; grep -c ^Seccomp:.2 /proc/self/status; touch /x; exit 7"); status != "7" || !strings.HasPrefix(out, "1000\n1\n") || !strings.Contains(out, "Read-only file system") {
		t.Errorf("ExecSync says %q, status %s", out, status)
	}
	if _, err := tryCall("ExecSync", object{"container_id": id, "cmd": []string{"sleep", "1000"}, "timeout": 1}); err == nil || !strings.Contains(err.Error(), "DeadlineExceeded") {
		t.Errorf("ExecSync that takes too long: %v", err)
	}
	if _, err := tryCall("ExecSync", object{"container_id": id, "cmd": []string{"nonsense"}}); err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
		t.Errorf("ExecSync of what is not there: %v", err)
	}
	criStream(t, id)
	criAttach(t, p)
	// The processes of a pod that shares their namespace see each other.
	other := p.start("other", "/bin/sleep", "2000")
	if out, _ := p.exec(other, "busybox", "ps", "-o", "args"); !strings.Contains(out, "sleep 1000") || !strings.Contains(out, "sleep 100000") {
		t.Errorf("the processes of the pod are %s", out)
	}
	criStats(t, p, id)
	criUpdate(t, p, id)
	call(t, "StopContainer", object{"container_id": id, "timeout": 0})
	if err := state("2"); err != nil { // CONTAINER_EXITED
		t.Error(err)
	}
	if got := dig(call(t, "ContainerStatus", object{"container_id": id}), "status", "exit_code"); got != "137" {
		t.Errorf("the exit status is %s", got)
	}
	call(t, "RemoveContainer", object{"container_id": id})
	call(t, "RemoveContainer", object{"container_id": other})                                                  // it still runs
	if got := dig(call(t, "PodSandboxStatus", object{"pod_sandbox_id": p.id}), "status", "state"); got != "" { // SANDBOX_READY is 0
		t.Errorf("the state of the pod is %s", got)
	}
	p.remove()
}

// criLog: a line for each of the container's, with the time, the stream and
// whether it is whole.
func criLog(t *testing.T, path string) {
	t.Helper()
	want := regexp.MustCompile(`(?m)^[-0-9T:.]+\S* stdout F to stdout$`)
	wantErr := regexp.MustCompile(`(?m)^[-0-9T:.]+\S* stderr F to stderr$`)
	if err := eventually(func() error {
		log, err := os.ReadFile(path)
		if err == nil && !(want.Match(log) && wantErr.Match(log)) {
			err = fmt.Errorf("the log has\n%s", log)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// criStream: Exec with a stream to and fro, and with a terminal.
func criStream(t *testing.T, id string) {
	t.Helper()
	for _, c := range []struct {
		tty    bool
		script string
		want   []string // in any order: they are different streams
	}{
		{false, "read x; echo got $x; echo bad >&2; exit 5", []string{"got word\n", "bad\n"}},
		{true, "read x; busybox tty; exit 5", []string{"/dev/pts/0"}},
	} {
		url := dig(call(t, "Exec", object{"container_id": id, "cmd": []string{"sh", "-c", c.script}, "stdin": true, "stdout": true, "stderr": !c.tty, "tty": c.tty}), "url")
		cmd := exec.Command("/usr/local/bin/cri", "stream", "-i", url)
		cmd.Stdin = strings.NewReader("word\n")
		out, _ := cmd.CombinedOutput()
		for _, want := range c.want {
			if cmd.ProcessState.ExitCode() != 5 || !strings.Contains(string(out), want) {
				t.Errorf("Exec on a terminal (%t) exits with %d and says %q, want %q", c.tty, cmd.ProcessState.ExitCode(), out, want)
			}
		}
	}
}

// criAttach: Attach to the streams of a container's own process, which waits for
// a word before it says something; the stream ends with it.
func criAttach(t *testing.T, p *pod) {
	t.Helper()
	for _, c := range []struct {
		name string
		tty  bool
		want []string
	}{{"piped", false, []string{"got word\n", "bad\n", "not a tty"}}, {"terminal", true, []string{"word\r\n", "got word\r\n", "bad\r\n", "/dev/pts/0\r\n"}}} {
		id := p.startWith(object{"stdin": true, "stdin_once": true, "tty": c.tty}, c.name, "/bin/sh", "-c", "read x; echo got $x; echo bad >&2; busybox tty; exit 5")
		url := dig(call(t, "Attach", object{"container_id": id, "stdin": true, "stdout": true, "stderr": !c.tty, "tty": c.tty}), "url")
		cmd := exec.Command("/usr/local/bin/cri", "stream", "-i", url)
		cmd.Stdin = strings.NewReader("word\n")
		out, err := cmd.CombinedOutput()
		for _, want := range c.want {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("Attach to %s: %v: it says %q, want %q", c.name, err, out, want)
			}
		}
		if err := eventually(func() error {
			if got := dig(call(t, "ContainerStatus", object{"container_id": id}), "status", "exit_code"); got != "5" {
				return fmt.Errorf("the exit status of %s is %q", c.name, got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		call(t, "RemoveContainer", object{"container_id": id})
	}
}

func criStats(t *testing.T, p *pod, id string) {
	t.Helper()
	one := call(t, "ContainerStats", object{"container_id": id})
	// containerd reads the figures of those controllers that are there.
	if got := dig(one, "stats", "cpu", "usage_core_nano_seconds", "value"); hasController("cpu") && (got == "" || got == "0") || dig(one, "stats", "attributes", "id") != id {
		t.Errorf("ContainerStats is %v", one)
	}
	if got := dig(one, "stats", "memory", "working_set_bytes", "value"); hasController("memory") && (got == "" || got == "0") {
		t.Errorf("ContainerStats is %v", one)
	}
	list := call(t, "ListContainerStats", object{"filter": object{"pod_sandbox_id": p.id}})
	if stats, _ := list["stats"].([]any); len(stats) != 2 {
		t.Errorf("ListContainerStats is %v", list)
	}
	if r := call(t, "PodSandboxStats", object{"pod_sandbox_id": p.id}); dig(r, "stats", "attributes", "id") != p.id {
		t.Errorf("PodSandboxStats is %v", r)
	}
}

// criUpdate changes limits; without controllers only those that are in force as
// it is can be asked for.
func criUpdate(t *testing.T, p *pod, id string) {
	t.Helper()
	if !hasController("memory") {
		call(t, "UpdateContainerResources", object{"container_id": id, "linux": object{"cpu_shares": 1024}})
		if _, err := tryCall("UpdateContainerResources", object{"container_id": id, "linux": object{"memory_limit_in_bytes": 64 << 20}}); err == nil || !strings.Contains(err.Error(), "memory controller is not available") {
			t.Errorf("a limit without its controller: %v", err)
		}
		return
	}
	call(t, "UpdateContainerResources", object{"container_id": id, "linux": object{"cpu_shares": 512, "cpu_quota": 50000, "cpu_period": 100000, "memory_limit_in_bytes": 64 << 20}})
	for file, want := range map[string]string{"memory.max": "67108864\n", "cpu.max": "50000 100000\n"} {
		if got, err := os.ReadFile("/sys/fs/cgroup/lab-pods/" + id + "/" + file); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", file, got, err, want)
		}
	}
}

// criNetwork: a pod with a network of its own, which the engine has made and the
// containers join.
func criNetwork(t *testing.T) {
	p := runPod(t, "connected", modePod)
	ip := dig(call(t, "PodSandboxStatus", object{"pod_sandbox_id": p.id}), "status", "network", "ip")
	id := p.start("main", "/bin/sh", "-c", "exec busybox nc -ll -p 7000 -e /bin/busybox hostname")
	if out, _ := p.exec(id, "busybox", "ip", "-4", "-o", "addr", "show", "eth0"); ip == "" || !strings.Contains(out, " "+ip+"/24 ") {
		t.Errorf("the pod is %q, and in its container %s", ip, out)
	}
	if err := eventually(func() error {
		out, err := exec.Command("busybox", "nc", "-w", "5", ip, "7000").CombinedOutput()
		if err == nil && string(out) != "connected\n" {
			err = fmt.Errorf("the pod answers %q", out)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	p.remove()
	if entries, _ := os.ReadDir("/run/netns"); len(entries) != 0 {
		t.Errorf("network namespaces are left: %v", entries)
	}
}
