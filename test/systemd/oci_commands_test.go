// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// What engines and scripts rely on of verbs, options and output that no other case has.
func TestOCICommands(t *testing.T) {
	for _, c := range []ociCase{
		{"state and list have runc's fields", shownFields},
		{"ps passes options on", psOptions},
		{"exec --no-new-privs", func(b *bundle) error {
			b.spec.Process.NoNewPrivileges = false
			return errors.Join(b.started(), b.says("NoNewPrivs:\t0\n", 0, "exec", b.id, "grep", "NoNewPrivs", "/proc/self/status"),
				b.says("NoNewPrivs:\t1\n", 0, "exec", "--no-new-privs", b.id, "grep", "NoNewPrivs", "/proc/self/status"))
		}},
		{"exec --cgroup", execCgroup},
		{"exec --ignore-paused", ignorePaused},
		{"exec --preserve-fds", func(b *bundle) error {
			if err := b.started(); err != nil {
				return err
			}
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			defer r.Close()
			_, _ = w.WriteString("three")
			w.Close()
			cmd := b.command("exec", "--preserve-fds", "1", b.id, "sh", "-c", "cat <&3")
			cmd.ExtraFiles = []*os.File{r}
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != "three" {
				return fmt.Errorf("%w: %s", err, out)
			}
			return b.refused("preserved-fd", "exec", "--preserve-fds", "9", b.id, "true")
		}},
		{"exec says what it cannot do, with the status 255", func(b *bundle) error {
			err := b.started()
			for _, args := range [][]string{
				{"--apparmor", "nonsense", b.id, "true"}, {"--process-label", "a:b:c:s0", b.id, "true"}, {"--process", "nowhere.json", b.id}, {"--user", "x", b.id, "true"},
				{"--cgroup", "nowhere", b.id, "true"}, {"--additional-gids", "-1", b.id, "true"}, {"--cwd", "relative", b.id, "true"}, {"--tty", "--detach", b.id, "true"}, {b.id},
			} {
				if out, status := b.call(append([]string{"exec"}, args...)...); status != 255 || out == "" {
					err = errors.Join(err, fmt.Errorf("exec %q exits with %d: %s", args, status, out))
				}
			}
			return err
		}},
		{"exec --tty", func(b *bundle) error {
			return errors.Join(b.started(), b.says("/dev/pts/0\r\n", 3, "exec", "--tty", b.id, "sh", "-c", "tty; exit 3"))
		}},
		{"run --detach, --keep and --no-subreaper", func(b *bundle) error {
			err := errors.Join(b.write(), b.says("", 0, "run", "--detach", "--pid-file", "pid", "--bundle", b.dir, b.id), b.hasStatus("running"))
			s, serr := b.state()
			if text, _ := os.ReadFile(b.dir + "/pid"); string(text) != fmt.Sprint(s["pid"]) {
				err = errors.Join(err, serr, fmt.Errorf("the pid file has %q, state %v", text, s["pid"]))
			}
			err = errors.Join(err, b.ok("delete", "--force", b.id))
			b.spec.Process.Args = []string{"sh", "-c", "exit 5"}
			return errors.Join(err, b.write(), b.says("", 5, "run", "--keep", "--bundle", b.dir, b.id), b.hasStatus("stopped"), b.ok("delete", b.id),
				b.says("", 5, "run", "--no-subreaper", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
		}},
		{"global options that change nothing are taken", func(b *bundle) error {
			err := b.create()
			for _, global := range [][]string{{"--debug"}, {"--log-level", "debug"}, {"--rootless", "true"}, {"--rootless=auto"}, {"--criu", "/nowhere"}, {"--log-format", "text"}} {
				err = errors.Join(err, b.ok(append(global, "state", b.id)...))
			}
			return errors.Join(err, b.refused("cgroup-manager", "--cgroup-manager", "nonsense", "state", b.id), b.refused("not defined", "--nonsense", "state", b.id))
		}},
		{"help", func(b *bundle) error {
			var err error
			for _, args := range [][]string{{}, {"help"}, {"--help"}, {"-h"}} {
				if out, status := b.call(args...); status != 0 || !strings.Contains(out, "COMMANDS:") || !strings.Contains(out, "--systemd-cgroup") {
					err = errors.Join(err, fmt.Errorf("%q exits with %d: %s", args, status, out))
				}
			}
			for verb, option := range map[string]string{
				"create": "--bundle", "start": "", "state": "", "kill": "--all", "delete": "--force", "run": "--detach", "exec": "--process", "list": "--quiet", "ps": "--format",
				"pause": "", "resume": "", "update": "--resources", "events": "--stats", "features": "", "spec": "--rootless",
			} {
				for _, help := range []string{"--help", "-h"} {
					if out, status := b.call(verb, help); status != 0 || !strings.Contains(out, "unitc-runtime "+verb) || !strings.Contains(out, option) {
						err = errors.Join(err, fmt.Errorf("%s %s exits with %d: %s", verb, help, status, out))
					}
				}
			}
			return err
		}},
		// Podman asks by --help whether there are checkpoints.
		{"checkpoint and restore say that there are none", func(b *bundle) error {
			return errors.Join(b.started(), b.refused("makes no checkpoints; use", "checkpoint", "--image-path", b.dir, b.id), b.refused("makes no checkpoints", "checkpoint", "--help"),
				b.refused("makes no checkpoints", "restore", "--bundle", b.dir, b.id), b.hasStatus("running"))
		}},
		{"--cgroup-manager disabled", withoutCgroup},
		{"--cgroup-manager systemd", func(b *bundle) error {
			defer func() { _, _ = command(t, "systemctl", "stop", "labtest.slice") }()
			b.spec.Linux.CgroupsPath = "labtest.slice:box:" + b.id
			err := errors.Join(b.write(), b.ok("--cgroup-manager", "systemd", "create", "--bundle", b.dir, b.id))
			if group, gerr := b.group(); !strings.HasSuffix(group, "/labtest.slice/box-"+b.id+".scope") {
				err = errors.Join(err, gerr, fmt.Errorf("its cgroup is %q", group))
			}
			return errors.Join(err, b.ok("delete", "--force", b.id))
		}},
		{"sockets of systemd's are passed on", func(b *bundle) error {
			b.spec.Process.Args = []string{"sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $$; cat <&3"}
			if err := b.write(); err != nil {
				return err
			}
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			defer r.Close()
			_, _ = w.WriteString("three")
			w.Close()
			cmd := b.command("run", "--bundle", b.dir, b.id)
			cmd.ExtraFiles, cmd.Env = []*os.File{r}, append(os.Environ(), "LISTEN_FDS=1")
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1 1 1\nthree" {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}},
		{"spec --bundle --rootless", func(b *bundle) error {
			other := b.dir + "/other"
			err := errors.Join(os.Mkdir(other, 0o755), b.ok("spec", "--rootless", "--bundle", other))
			data, rerr := os.ReadFile(other + "/config.json")
			var s specs.Spec
			if rerr = errors.Join(rerr, json.Unmarshal(data, &s)); rerr != nil {
				return errors.Join(err, rerr)
			}
			user := func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }
			if !slices.ContainsFunc(s.Linux.Namespaces, user) || len(s.Linux.UIDMappings) != 1 || s.Linux.UIDMappings[0].HostID != 0 || s.Linux.Resources != nil {
				err = errors.Join(err, fmt.Errorf("it is %s", data))
			}
			s.Process.Terminal, s.Process.Args = false, []string{"id", "-u"}
			b.spec = &s
			return errors.Join(err, b.write(), b.says("0\n", 0, "run", "--bundle", b.dir, b.id))
		}},
		{"unitc oci is the same", func(b *bundle) error {
			oci := func(want string, status int, args ...string) error {
				cmd := exec.Command("unitc", append([]string{"oci", "--root", b.root}, args...)...)
				cmd.Dir = b.dir
				out, err := cmd.CombinedOutput()
				if !strings.Contains(string(out), want) || cmd.ProcessState.ExitCode() != status {
					return fmt.Errorf("unitc oci %q exits with %d (%w): %s", args, cmd.ProcessState.ExitCode(), err, out)
				}
				return nil
			}
			err := errors.Join(b.started(), oci(`"status": "running"`, 0, "state", b.id), oci("sleep\n", 7, "exec", b.id, "sh", "-c", "cat /proc/1/comm; exit 7"), oci("", 0, "delete", "--force", b.id))
			b.spec.Process.Args = []string{"sh", "-c", "echo ran; exit 42"}
			return errors.Join(err, b.write(), oci("ran\n", 42, "run", "--bundle", b.dir, b.id), oci("does not exist", 1, "state", b.id), oci("requires exactly 1 argument", 1, "state"))
		}},
		{"update of what is no limit", func(b *bundle) error {
			err := errors.Join(b.started(), b.refused("invalid value for blkio-weight", "update", "--blkio-weight", "65546", b.id), b.refused("invalid value for cpu-share", "update", "--cpu-share", "-1", b.id),
				b.refused("invalid value for memory", "update", "--memory", "-5", b.id), b.refused("Intel RDT", "update", "--l3-cache-schema", "L3:0=f", b.id),
				b.refused("no counterpart", "update", "--cpu-rt-runtime", "1000", b.id), b.ok("--log", b.dir+"/log", "update", "--kernel-memory", "5m", b.id))
			if log, _ := os.ReadFile(b.dir + "/log"); !strings.Contains(string(log), "--kernel-memory is ignored") {
				err = errors.Join(err, fmt.Errorf("the log has %q", log))
			}
			return err
		}},
	} {
		if err := runCase(t, c, ociRuntime); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// says is call with the output and the status that it must have.
func (b *bundle) says(want string, wantStatus int, args ...string) error {
	if out, status := b.call(args...); out != want || status != wantStatus {
		return fmt.Errorf("%q exits with %d and says %q, want %d and %q", args, status, out, wantStatus, want)
	}
	return nil
}

// group is the cgroup of the first process.
func (b *bundle) group() (string, error) {
	s, err := b.state()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%v/cgroup", s["pid"]))
	_, path, _ := strings.Cut(strings.TrimSpace(string(text)), "0::")
	return path, err
}

// shownFields: containerd and scripts parse all of these.
func shownFields(b *bundle) error {
	err := b.started()
	s, serr := b.state()
	out, _ := b.call("list", "--format", "json")
	var all []map[string]any
	if jerr := json.Unmarshal([]byte(out), &all); jerr != nil || len(all) != 1 {
		return errors.Join(err, serr, jerr, fmt.Errorf("list prints %q", out))
	}
	for verb, shown := range map[string]map[string]any{"state": s, "list": all[0]} {
		for field, want := range map[string]any{"id": b.id, "status": "running", "bundle": b.dir, "rootfs": b.dir + "/rootfs", "owner": "root"} {
			if shown[field] != want {
				err = errors.Join(err, fmt.Errorf("%s: %s is %v, want %v", verb, field, shown[field], want))
			}
		}
		version, _ := shown["ociVersion"].(string)
		pid, _ := shown["pid"].(float64)
		text, _ := shown["created"].(string)
		created, terr := time.Parse(time.RFC3339Nano, text)
		if age := time.Since(created); terr != nil || age < 0 || age > time.Hour || !strings.HasPrefix(version, "1.") || pid < 2 || len(shown) != 9 {
			err = errors.Join(err, terr, fmt.Errorf("%s prints %v", verb, shown))
		}
	}
	table, _ := b.call("list")
	lines := strings.Split(table, "\n")
	if got := strings.Fields(lines[0]); !slices.Equal(got, []string{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}) {
		err = errors.Join(err, fmt.Errorf("list prints\n%s", table))
	}
	if got := strings.Fields(lines[1]); len(got) != 6 || got[0] != b.id || got[1] != fmt.Sprint(s["pid"]) || got[3] != b.dir || got[5] != "root" {
		err = errors.Join(err, fmt.Errorf("list prints\n%s", table))
	}
	err = errors.Join(err, b.refused("invalid format option", "list", "--format", "xml"), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"))
	if s, serr := b.state(); s["pid"] != 0.0 {
		err = errors.Join(err, serr, fmt.Errorf("the process of a stopped container is %v", s["pid"]))
	}
	return errors.Join(err, b.ok("delete", b.id), b.says("null\n", 0, "list", "--format", "json"), b.says("", 0, "list", "-q"))
}

func psOptions(b *bundle) error {
	err := b.started()
	out, status := b.call("ps", b.id, "-e", "-o", "pid,comm")
	if lines := strings.Split(out, "\n"); status != 0 || len(lines) != 3 || !slices.Equal(strings.Fields(lines[0]), []string{"PID", "COMMAND"}) || !strings.HasSuffix(lines[1], " sleep") {
		err = errors.Join(err, fmt.Errorf("ps with options exits with %d: %s", status, out))
	}
	for _, args := range [][]string{{"ps", "--format", "table", b.id}, {"ps", "-f", "table", b.id}, {"ps", b.id, "aux"}} {
		if out, status := b.call(args...); status != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, "sleep 1000") {
			err = errors.Join(err, fmt.Errorf("%q exits with %d: %s", args, status, out))
		}
	}
	return errors.Join(err, b.refused("PID field", "ps", b.id, "-e", "-o", "comm"), b.refused("", "ps", b.id, "--nonsense"), b.refused("invalid format option", "ps", "--format", "xml", b.id))
}

// execCgroup: below the container's cgroup, and never beside it.
func execCgroup(b *bundle) error {
	if err := b.started(); err != nil {
		return err
	}
	group, err := b.group()
	if err != nil {
		return err
	}
	err = errors.Join(os.Mkdir("/sys/fs/cgroup"+group+"/sub", 0o755), b.refused("exec cgroup", "exec", "--cgroup", "other", b.id, "true"))
	for path, want := range map[string]string{"sub": "/sub", "/sub": "/sub", "memory:sub": "/sub", "../../sub": "/sub", "..": "/"} {
		err = errors.Join(err, b.says("0::"+want+"\n", 0, "exec", "--cgroup", path, b.id, "grep", "0::", "/proc/self/cgroup"))
	}
	return err
}

// ignorePaused: it waits in the frozen cgroup, and runs when that thaws.
func ignorePaused(b *bundle) error {
	if err := errors.Join(b.started(), b.ok("pause", b.id)); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- b.says("went on\n", 0, "exec", "--ignore-paused", b.id, "echo", "went on") }()
	group, err := b.group()
	err = errors.Join(err, eventually(func() error {
		select {
		case early := <-done:
			done <- early
			return nil
		default:
		}
		if procs, _ := os.ReadFile("/sys/fs/cgroup" + group + "/cgroup.procs"); strings.Count(string(procs), "\n") < 2 {
			return fmt.Errorf("in the cgroup are %q", procs)
		}
		return nil
	}))
	if len(done) > 0 {
		err = errors.Join(err, errors.New("it did not wait"))
	}
	return errors.Join(err, b.ok("resume", b.id), <-done)
}

// withoutCgroup: it stays in its caller's, says so of what it cannot keep, and every
// verb does what it can or refuses, none on the caller's cgroup.
func withoutCgroup(b *bundle) error {
	limit := int64(5)
	b.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
	err := errors.Join(b.write(), b.refused("limits and no cgroup of its own", "--cgroup-manager", "disabled", "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
	b.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	err = errors.Join(err, b.write(), b.ok("--cgroup-manager", "disabled", "--log", b.dir+"/log", "create", "--bundle", b.dir, b.id), b.ok("start", b.id))
	if log, _ := os.ReadFile(b.dir + "/log"); !strings.Contains(string(log), "level=warning") || !strings.Contains(string(log), "linux.resources.devices") {
		err = errors.Join(err, fmt.Errorf("the log has %q", log))
	}
	own, _ := os.ReadFile("/proc/self/cgroup")
	s, serr := b.state()
	if group, gerr := b.group(); !strings.HasSuffix(string(own), "0::"+group+"\n") {
		err = errors.Join(err, serr, gerr, fmt.Errorf("its cgroup is %q, the caller's %q", group, own))
	}
	const devices = `{"devices": [{"allow": true, "access": "rwm"}]}`
	return errors.Join(err, os.WriteFile(b.dir+"/devices.json", []byte(devices), 0o644), b.says(fmt.Sprintf("[%v]\n", s["pid"]), 0, "ps", "--format", "json", b.id),
		b.refused("no cgroup of its own", "pause", b.id), b.refused("not paused", "resume", b.id), b.refused("no cgroup of its own", "events", "--stats", b.id),
		b.refused("no cgroup of its own", "update", "--pids-limit", "5", b.id), b.refused("no cgroup of its own", "update", "--resources", "devices.json", b.id),
		b.refused("no cgroup of its own", "exec", "--cgroup", "sub", b.id, "true"), b.ok("exec", b.id, "true"), b.ok("kill", "--all", b.id, "KILL"), b.awaitStatus("stopped"), b.ok("delete", b.id))
}
