// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ociCases are read off runtime.md, config.md and config-linux.md of the
// specification and off runc(8).
var ociCases = []ociCase{
	{"state has the specified fields", func(b *bundle) error {
		if err := b.create(); err != nil {
			return err
		}
		s, err := b.state()
		if err != nil {
			return err
		}
		pid, _ := s["pid"].(float64)
		annotations, _ := s["annotations"].(map[string]any)
		if s["ociVersion"] == "" || s["id"] != b.id || s["status"] != "created" || s["bundle"] != b.dir || pid < 2 || annotations["org.example.key"] != "value" {
			return fmt.Errorf("state is %v", s)
		}
		if unix.Kill(int(pid), 0) != nil {
			return fmt.Errorf("there is no process %v", pid)
		}
		return nil
	}},
	{"create does not run the program, start does", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "touch /tmp/ran; exec sleep 1000"}
		if err := b.create(); err != nil {
			return err
		}
		if _, err := os.Stat(b.dir + "/rootfs/tmp/ran"); err == nil {
			return errors.New("it ran before start")
		}
		if err := b.ok("start", b.id); err != nil {
			return err
		}
		if err := b.hasStatus("running"); err != nil {
			return err
		}
		return eventually(func() error { _, err := os.Stat(b.dir + "/rootfs/tmp/ran"); return err })
	}},
	{"changes of config.json after create count for nothing", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "touch /tmp/old"}
		if err := b.create(); err != nil {
			return err
		}
		b.spec.Process.Args = []string{"sh", "-c", "touch /tmp/new"}
		if err := errors.Join(b.write(), b.ok("start", b.id), b.awaitStatus("stopped")); err != nil {
			return err
		}
		_, err := os.Stat(b.dir + "/rootfs/tmp/old")
		return err
	}},
	{"an id is there once", func(b *bundle) error {
		return errors.Join(b.create(), b.refused("exist", "create", "--bundle", b.dir, b.id), b.hasStatus("created"))
	}},
	{"start wants a created container", func(b *bundle) error {
		return errors.Join(b.started(), b.refused("", "start", b.id), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"), b.refused("", "start", b.id), b.refused("does not exist", "start", "nobody"))
	}},
	{"delete wants a stopped container", func(b *bundle) error {
		return errors.Join(b.started(), b.refused("not stopped", "delete", b.id), b.hasStatus("running"), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"), b.ok("delete", b.id), b.refused("does not exist", "delete", b.id))
	}},
	{"delete --force ends a container, and takes one that is not there", func(b *bundle) error {
		return errors.Join(b.started(), b.ok("delete", "--force", b.id), b.ok("delete", "--force", b.id), b.refused("does not exist", "state", b.id))
	}},
	{"a read-only /dev has its devices and mount points", func(b *bundle) error {
		b.spec.Mounts[1].Options = append(b.spec.Mounts[1].Options, "ro")
		return b.prints("echo >/dev/null && test -d /dev/pts && ! touch /dev/x 2>/dev/null && echo ok", "ok")
	}},
	{"a poststart hook that fails stops the container, and poststop hooks run", func(b *bundle) error {
		b.spec.Hooks = &specs.Hooks{
			Poststart: []specs.Hook{{Path: "/bin/false"}},
			Poststop:  []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >" + b.dir + "/stopped"}}},
		}
		err := errors.Join(b.create(), b.refused("poststart", "start", b.id))
		if out, status := b.call("state", b.id); status == 0 && strings.Contains(out, `"running"`) {
			err = errors.Join(err, errors.New("it runs"))
		}
		_, statErr := os.Stat(b.dir + "/stopped")
		return errors.Join(err, statErr)
	}},
	{"a created container is deleted", func(b *bundle) error { return errors.Join(b.create(), b.ok("delete", b.id)) }},
	{"kill of a stopped container", func(b *bundle) error {
		b.spec.Process.Args = []string{"true"}
		return errors.Join(b.started(), b.awaitStatus("stopped"), b.refused("not running", "kill", b.id, "TERM"), b.refused("not running", "kill", b.id, "0"))
	}},
	{"kill reads names and numbers of signals", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", `for s in TERM USR1 HUP; do trap "echo $s >>/tmp/got" $s; done; touch /tmp/ready; while :; do sleep 0.05; done`}
		err := errors.Join(b.started(), eventually(func() error { _, err := os.Stat(b.dir + "/rootfs/tmp/ready"); return err }))
		got := ""
		for _, s := range [][2]string{{"", "TERM"}, {"SIGUSR1", "USR1"}, {"HUP", "HUP"}, {"15", "TERM"}, {"usr1", "USR1"}} {
			args := []string{"kill", b.id}
			if s[0] != "" {
				args = append(args, s[0])
			}
			got += s[1] + "\n"
			err = errors.Join(err, b.ok(args...), eventually(func() error {
				text, _ := os.ReadFile(b.dir + "/rootfs/tmp/got")
				if string(text) != got {
					return fmt.Errorf("it got %q, want %q", text, got)
				}
				return nil
			}))
		}
		return errors.Join(err, b.refused("signal", "kill", b.id, "NONSENSE"))
	}},
	{"run passes the exit status", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "exit 42"}
		if err := b.write(); err != nil {
			return err
		}
		if out, status := b.call("run", "--bundle", b.dir, b.id); status != 42 {
			return fmt.Errorf("status %d: %s", status, out)
		}
		b.spec.Process.Args = []string{"sh", "-c", "kill -9 $$"}
		b.spec.Linux.Namespaces = b.spec.Linux.Namespaces[1:] // the first process of a PID namespace cannot kill itself
		b.spec.Mounts[0] = specs.Mount{Destination: "/proc", Type: "proc", Source: "proc"}
		if err := b.write(); err != nil {
			return err
		}
		if out, status := b.call("run", "--bundle", b.dir, b.id); status != 128+9 {
			return fmt.Errorf("status %d: %s", status, out)
		}
		return nil
	}},
	{"the process is confined as configured", func(b *bundle) error {
		b.spec.Process.User = specs.User{UID: 10, GID: 20, AdditionalGids: []uint32{30, 40}}
		b.spec.Process.Cwd = "/tmp"
		b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}}
		return b.prints(`id -u; id -g; id -G; pwd; hostname; ulimit -Sn; ulimit -Hn; grep -E "NoNewPrivs|CapInh|CapAmb|CapBnd" /proc/self/status | tr -d "\t"`,
			"10\n20\n20 30 40\n/tmp\nbox\n100\n200\nCapInh:0000000000000000\nCapBnd:00000000080000e2\nCapAmb:0000000000000000\nNoNewPrivs:1")
	}},
	{"no descriptor of the caller's is passed", func(b *bundle) error {
		return b.prints(`cd /proc/self/fd; echo *`, "0 1 2 3") // 3 is the directory's own
	}},
	{"masked and read-only paths", func(b *bundle) error {
		b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, "/proc/version")
		return b.prints(`exec 2>/dev/null; wc -c </proc/version; ls /sys/firmware | wc -l; (echo x >/proc/sys/kernel/core_pattern) || echo refused; touch /sys/x || echo refused`, "0\n0\nrefused\nrefused")
	}},
	{"devices are denied unless allowed", func(b *bundle) error {
		// Where the kernel has no such device the answer to who may open it is another.
		return b.prints(`mknod /dev/mem2 c 1 1; (: </dev/mem2) 2>&1 | grep -c "not permitted"; (: </dev/null) && echo null`, "1\nnull")
	}},
	{"an allowed device is not denied", func(b *bundle) error {
		major, minor := int64(1), int64(1)
		b.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "r"}}}
		b.spec.Process.Capabilities.Bounding = append(b.spec.Process.Capabilities.Bounding, "CAP_SYS_RAWIO")
		b.spec.Process.Capabilities.Effective = b.spec.Process.Capabilities.Bounding
		b.spec.Process.Capabilities.Permitted = b.spec.Process.Capabilities.Bounding
		return b.prints(`mknod /dev/mem2 c 1 1; (: </dev/mem2) 2>&1 | grep -c "not permitted"; (: >/dev/mem2) 2>&1 | grep -c "not permitted"`, "0\n1")
	}},
	{"a failing program is told at create", func(b *bundle) error {
		b.spec.Process.Args = []string{"nonsense"}
		err := errors.Join(b.write(), b.refused("executable file not found in $PATH", "create", "--bundle", b.dir, b.id))
		b.spec.Process.Args = []string{"/bin/nonsense"}
		err = errors.Join(err, b.write(), b.refused("no such file or directory", "create", "--bundle", b.dir, b.id))
		b.spec.Process.Args = []string{"/etc/passwd"}
		return errors.Join(err, os.WriteFile(b.dir+"/rootfs/etc/passwd", nil, 0o644), b.write(), b.refused("permission denied", "create", "--bundle", b.dir, b.id))
	}},
	{"a program that is none is told by run", func(b *bundle) error {
		b.spec.Process.Args = []string{"/bin/garbage"}
		return errors.Join(os.WriteFile(b.dir+"/rootfs/bin/garbage", []byte("garbage\x00"), 0o755), b.write(), b.refused("exec format error", "run", "--bundle", b.dir, b.id))
	}},
	{"the pid file", func(b *bundle) error {
		if err := errors.Join(b.write(), b.ok("create", "--bundle", b.dir, "--pid-file", "pid", b.id)); err != nil {
			return err
		}
		text, err := os.ReadFile(b.dir + "/pid")
		if err != nil {
			return err
		}
		s, err := b.state()
		if err == nil && string(text) != fmt.Sprint(s["pid"]) {
			err = fmt.Errorf("it has %q, state has %v", text, s["pid"])
		}
		return err
	}},
	{"list", func(b *bundle) error {
		err := b.started()
		out, _ := b.call("list")
		if !strings.HasPrefix(out, "ID") || !strings.Contains(out, b.id) || !strings.Contains(out, "running") {
			err = errors.Join(err, fmt.Errorf("list prints %q", out))
		}
		if out, _ := b.call("list", "-q"); out != b.id+"\n" {
			err = errors.Join(err, fmt.Errorf("list -q prints %q", out))
		}
		out, _ = b.call("list", "--format", "json")
		var all []map[string]any
		if jerr := json.Unmarshal([]byte(out), &all); jerr != nil || len(all) != 1 || all[0]["id"] != b.id || all[0]["status"] != "running" {
			err = errors.Join(err, fmt.Errorf("list --format json prints %q", out))
		}
		return err
	}},
	{"ps --format json has the processes", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "sleep 1000 & touch /tmp/ready; wait"}
		err := errors.Join(b.started(), eventually(func() error { _, err := os.Stat(b.dir + "/rootfs/tmp/ready"); return err }))
		out, _ := b.call("ps", "--format", "json", b.id)
		var pids []int
		if jerr := json.Unmarshal([]byte(out), &pids); jerr != nil || len(pids) != 2 {
			err = errors.Join(err, fmt.Errorf("ps prints %q", out))
		}
		out, _ = b.call("ps", b.id)
		if strings.Count(out, "sleep") != 2 {
			err = errors.Join(err, fmt.Errorf("ps prints %q", out))
		}
		return err
	}},
	{"pause and resume", func(b *bundle) error {
		return errors.Join(b.started(), b.refused("not paused", "resume", b.id), b.ok("pause", b.id), b.hasStatus("paused"), b.refused("paused", "exec", b.id, "true"),
			b.refused("not stopped", "delete", b.id), b.ok("resume", b.id), b.hasStatus("running"), b.ok("exec", b.id, "true"), b.ok("pause", b.id), b.ok("delete", "--force", b.id))
	}},
	{"events --stats", func(b *bundle) error {
		err := b.started()
		out, _ := b.call("events", "--stats", b.id)
		var e struct {
			Type, ID string
			Data     map[string]any
		}
		if jerr := json.Unmarshal([]byte(out), &e); jerr != nil || e.Type != "stats" || e.ID != b.id || e.Data["cpu"] == nil || e.Data["memory"] == nil || e.Data["pids"] == nil {
			err = errors.Join(err, fmt.Errorf("events --stats prints %q", out))
		}
		return err
	}},
	{"exec", func(b *bundle) error {
		err := b.started()
		for _, e := range []struct {
			args   []string
			out    string
			status int
		}{
			{[]string{b.id, "echo", "-n", "x"}, "x", 0}, {[]string{b.id, "sh", "-c", "exit 7"}, "", 7},
			{[]string{"--user", "5:6", "--additional-gids", "7", b.id, "sh", "-c", "id -u; id -G"}, "5\n6 7\n", 0},
			{[]string{"--cwd", "/etc", "--env", "A=b", b.id, "sh", "-c", "pwd; echo $A $FROM"}, "/etc\nb config\n", 0},
			{[]string{"--env", "FROM=exec", b.id, "sh", "-c", "echo $FROM"}, "exec\n", 0},
			{[]string{b.id, "sh", "-c", "hostname; readlink /proc/self/ns/pid | cmp - /proc/1/ns/pid 2>/dev/null; cat /proc/1/comm"}, "box\nsleep\n", 0},
			{[]string{"--cap", "CAP_NET_RAW", b.id, "grep", "CapBnd", "/proc/self/status"}, "CapBnd:\t00000000080020e2\n", 0},
		} {
			if out, status := b.call(append([]string{"exec"}, e.args...)...); out != e.out || status != e.status {
				err = errors.Join(err, fmt.Errorf("exec %q: status %d, output %q", e.args, status, out))
			}
		}
		return errors.Join(err, b.refused("executable file not found in $PATH", "exec", b.id, "nonsense"), b.refused("no such file or directory", "exec", b.id, "/nonsense"),
			b.refused("", "exec", "--user", "4294967296", b.id, "true"), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"), b.refused("stopped", "exec", b.id, "true"), b.refused("does not exist", "exec", "nobody", "true"))
	}},
	{"exec is in the container's cgroup", func(b *bundle) error {
		if err := b.started(); err != nil {
			return err
		}
		s, err := b.state()
		if err != nil {
			return err
		}
		first, err := os.ReadFile(fmt.Sprintf("/proc/%v/cgroup", s["pid"]))
		if err != nil {
			return err
		}
		if err := b.ok("exec", "--detach", "--pid-file", b.dir+"/pid", b.id, "sleep", "1000"); err != nil {
			return err
		}
		pid, err := os.ReadFile(b.dir + "/pid")
		if err != nil {
			return err
		}
		second, err := os.ReadFile("/proc/" + string(pid) + "/cgroup")
		if err == nil && (string(first) != string(second) || !strings.Contains(string(first), b.id)) {
			err = fmt.Errorf("the first process is in %q, the second in %q", first, second)
		}
		return err
	}},
	{"exec --process", func(b *bundle) error {
		p := *b.spec.Process
		p.Args, p.User.UID, p.Env = []string{"/bin/sh", "-c", "id -u; echo $X"}, 9, []string{"X=y"}
		data, err := json.Marshal(&p)
		if err = errors.Join(err, os.WriteFile(b.dir+"/process.json", data, 0o644), b.started()); err != nil {
			return err
		}
		if out, status := b.call("exec", "--process", "process.json", b.id); out != "9\ny\n" || status != 0 {
			err = fmt.Errorf("status %d, output %q", status, out)
		}
		return err
	}},
	{"descriptors are preserved when asked for", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "cat <&3; cat <&4"}
		if err := b.write(); err != nil {
			return err
		}
		cmd := b.command("run", "--preserve-fds", "2", "--bundle", b.dir, b.id)
		for _, text := range []string{"three", "four"} {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			defer r.Close()
			_, _ = w.WriteString(text)
			w.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, r)
		}
		out, err := cmd.CombinedOutput()
		if err == nil && string(out) != "threefour" {
			err = fmt.Errorf("it read %q", out)
		}
		return err
	}},
	{"hooks run in order and read the state", ociHooks},
	{"a hook that fails ends the creation", func(b *bundle) error {
		b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
		return errors.Join(b.write(), b.refused("", "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
	}},
	{"a user namespace", func(b *bundle) error {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
		b.spec.Linux.GIDMappings = b.spec.Linux.UIDMappings
		if err := errors.Join(os.Chmod(b.dir, 0o755), b.started()); err != nil {
			return err
		}
		if out, status := b.call("exec", b.id, "sh", "-c", "id -u; tr -s ' ' </proc/self/uid_map; readlink /proc/self/ns/user | tr -d '\n' >/dev/null; cat /proc/1/comm"); out != "0\n 0 100000 1000\nsleep\n" || status != 0 {
			return fmt.Errorf("status %d: %q", status, out)
		}
		return nil
	}},
	{"namespaces are joined by path", func(b *bundle) error {
		if err := b.started(); err != nil {
			return err
		}
		s, err := b.state()
		if err != nil {
			return err
		}
		pid := fmt.Sprint(s["pid"])
		want, err := os.Readlink("/proc/" + pid + "/ns/net")
		if err != nil {
			return err
		}
		other := *b
		other.id = b.id + "-2"
		other.spec.Linux.Namespaces[1].Path = "/proc/" + pid + "/ns/net"
		return other.prints("readlink /proc/self/ns/net", want)
	}},
	{"a container without a process is created and never started", func(b *bundle) error {
		b.spec.Process = nil
		return errors.Join(b.create(), b.hasStatus("created"), b.refused("process", "start", b.id), b.hasStatus("created"),
			b.ok("exec", "--env", "PATH=/bin", b.id, "id"), b.ok("delete", b.id), b.refused("process", "run", "--bundle", b.dir, b.id))
	}},
	{"namespaces that are not listed are the caller's", inheritedNamespaces},
	{"run deletes once, and only its own container", runDeletesOnce},
	{"seccomp", func(b *bundle) error {
		errno := uint(unix.EXDEV)
		b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &errno}}}
		return b.prints("mkdir /tmp/x 2>&1 || true", "mkdir: can't create directory '/tmp/x': Invalid cross-device link")
	}},
	{"features is JSON", func(b *bundle) error {
		out, status := b.call("features")
		var f map[string]any
		if err := json.Unmarshal([]byte(out), &f); err != nil || status != 0 || f["ociVersionMin"] == nil || f["linux"] == nil {
			return fmt.Errorf("features exits with %d: %.100s", status, out)
		}
		return nil
	}},
	{"spec writes a configuration once, and it is valid", func(b *bundle) error {
		err := errors.Join(b.ok("spec"), b.refused("exist", "spec"))
		data, rerr := os.ReadFile(b.dir + "/config.json")
		var s specs.Spec
		if rerr = errors.Join(rerr, json.Unmarshal(data, &s)); rerr == nil {
			s.Process.Terminal, s.Process.Args = false, []string{"true"}
			b.spec = &s
			err = errors.Join(err, b.write(), b.ok("run", "--bundle", b.dir, b.id))
		}
		return errors.Join(err, rerr)
	}},
	{"one of many creates and one of many starts succeeds", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "echo x >>/tmp/starts; sleep 1000"}
		if err := b.write(); err != nil {
			return err
		}
		for _, args := range [][]string{{"create", "--bundle", b.dir, b.id}, {"start", b.id}} {
			var good int
			var mu sync.Mutex
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, status := b.call(args...); status == 0 {
						mu.Lock()
						good++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			if good != 1 {
				return fmt.Errorf("%d of 8 calls of %s succeeded", good, args[0])
			}
		}
		return b.hasStatus("running")
	}},
}

// ociHooks: each hook appends its name and the status that it read.
func ociHooks(b *bundle) error {
	log := b.dir + "/hooks.log"
	script := filepath.Join(b.dir, "hook.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread state || :\necho \"$1 $(echo \"$state\" | sed 's/.*\"status\": *\"\\([a-z]*\\)\".*/\\1/')\" >>\"$2\"\n"), 0o755); err != nil {
		return err
	}
	// startContainer runs inside: its program and its log are there.
	if err := os.WriteFile(b.dir+"/rootfs/bin/hook.sh", []byte("#!/bin/sh\nread state || :\necho started >/tmp/hook\n"), 0o755); err != nil {
		return err
	}
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: script, Args: []string{"hook", name, log}, Env: []string{"PATH=/usr/bin:/bin"}}}
	}
	b.spec.Hooks = &specs.Hooks{
		//lint:ignore SA1019 still specified
		Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), Poststart: hook("poststart"), Poststop: hook("poststop"),
		StartContainer: []specs.Hook{{Path: "/bin/hook.sh", Env: []string{"PATH=/bin"}}},
	}
	logged := func(want string) error {
		text, err := os.ReadFile(log)
		if err == nil && string(text) != want {
			err = fmt.Errorf("the log has %q, want %q", text, want)
		}
		return err
	}
	if err := b.create(); err != nil {
		return err
	}
	// prestart's and createRuntime's status is creating or created, as one reads
	// the specification.
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	head := string(text)
	if s := strings.Fields(head); len(s) != 4 || s[0] != "prestart" || s[2] != "createRuntime" || !strings.HasPrefix(s[1], "creat") || !strings.HasPrefix(s[3], "creat") {
		return fmt.Errorf("after create the log has %q", head)
	}
	if _, err := os.Stat(b.dir + "/rootfs/tmp/hook"); err == nil {
		return errors.New("startContainer ran at create")
	}
	if err := b.ok("start", b.id); err != nil {
		return err
	}
	if _, err := os.Stat(b.dir + "/rootfs/tmp/hook"); err != nil {
		return fmt.Errorf("startContainer: %w", err)
	}
	err = logged(head + "poststart running\n")
	return errors.Join(err, b.ok("kill", b.id, strconv.Itoa(9)), b.awaitStatus("stopped"), b.ok("delete", b.id), logged(head+"poststart running\npoststop stopped\n"))
}

// inheritedNamespaces: none is listed, and so all are the caller's; the mounts go
// with the container all the same, and exec is inside of its root.
func inheritedNamespaces(b *bundle) error {
	b.spec.Linux.Namespaces, b.spec.Hostname = nil, ""
	// The kernel's own files are the host's: nothing of them is changed.
	b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
	if err := b.started(); err != nil {
		return err
	}
	s, err := b.state()
	if err != nil {
		return err
	}
	pid, _ := s["pid"].(float64)
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
		theirs, terr := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", int(pid), kind))
		ours, oerr := os.Readlink("/proc/self/ns/" + kind)
		if theirs != ours {
			err = errors.Join(err, terr, oerr, fmt.Errorf("the container has %s, the caller %s", theirs, ours))
		}
	}
	out, status := b.call("exec", b.id, "sh", "-c", "ls -d /rootfs /bin/busybox /root; mount | grep -c .")
	if status != 0 || !strings.HasPrefix(out, "ls: /rootfs: No such file or directory\n/bin/busybox\n/root\n") {
		err = errors.Join(err, fmt.Errorf("exec exits with %d: %s", status, out))
	}
	err = errors.Join(err, b.ok("delete", "--force", b.id))
	if left := b.left(); left != "" {
		err = errors.Join(err, fmt.Errorf("left behind: %s", left))
	}
	return err
}

// runDeletesOnce: the last hooks run once, also where a hook after the start has
// stopped the container.
func runDeletesOnce(b *bundle) error {
	count := b.dir + "/count"
	b.spec.Process.Args = []string{"sleep", "5"}
	b.spec.Hooks = &specs.Hooks{
		Poststart: []specs.Hook{{Path: "/bin/false"}},
		Poststop:  []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo once >>" + count}}},
	}
	err := errors.Join(b.write(), b.refused("hook", "run", "--bundle", b.dir, b.id))
	if got, rerr := os.ReadFile(count); string(got) != "once\n" {
		err = errors.Join(err, rerr, fmt.Errorf("the last hooks ran as %q", got))
	}
	return err
}
