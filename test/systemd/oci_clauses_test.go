// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func init() { ociCases = append(ociCases, clauseCases...) }

// clauseCases are for clauses of the specification that no other case has
// (test/conformance/CLAUSES.md).
var clauseCases = []ociCase{
	{"hooks that cannot be called are refused before anything is made", func(b *bundle) error {
		zero := 0
		var err error
		for _, h := range []specs.Hooks{
			{Poststart: []specs.Hook{{Path: "bin/true"}}}, {Poststop: []specs.Hook{{Path: "bin/true"}}}, {StartContainer: []specs.Hook{{Path: ""}}},
			{CreateContainer: []specs.Hook{{Path: "bin/true"}}}, {Poststop: []specs.Hook{{Path: "/bin/true", Timeout: &zero}}},
		} {
			b.spec.Hooks = &h
			err = errors.Join(err, b.write(), b.refused("hooks.", "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
		}
		return err
	}},
	{"hooks of one point run in their order", func(b *bundle) error {
		var hooks []specs.Hook
		for _, n := range []string{"1", "2", "3"} {
			hooks = append(hooks, specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + n + " >>" + b.dir + "/order"}})
		}
		b.spec.Hooks = &specs.Hooks{CreateRuntime: hooks, CreateContainer: hooks, Poststop: hooks}
		err := errors.Join(b.create(), b.ok("delete", "--force", b.id))
		if got, _ := os.ReadFile(b.dir + "/order"); string(got) != strings.Repeat("1\n2\n3\n", 3) {
			err = errors.Join(err, fmt.Errorf("they ran as %q", got))
		}
		return err
	}},
	{"a hook that fails ends the lifecycle at each point", failingHooks},
	{"a poststop hook that fails is a warning", func(b *bundle) error {
		b.spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/false"}, {Path: "/bin/sh", Args: []string{"sh", "-c", "echo x >" + b.dir + "/second"}}}}
		err := errors.Join(b.create(), b.ok("--log", b.dir+"/log", "delete", b.id))
		_, serr := os.Stat(b.dir + "/second")
		if log, _ := os.ReadFile(b.dir + "/log"); !strings.Contains(string(log), "level=warning") || !strings.Contains(string(log), "poststop") {
			err = errors.Join(err, fmt.Errorf("the log has %q", log))
		}
		return errors.Join(err, serr)
	}},
	{"what is being created is not signalled", func(b *bundle) error {
		call := b.runtime + " --root " + b.root + " kill " + b.id + " KILL"
		b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", call + " && exit 1; exit 0"}}}}
		return errors.Join(b.create(), b.hasStatus("created"), b.ok("kill", b.id, "KILL"), b.awaitStatus("stopped"))
	}},
	{"capabilities that cannot be had are a warning", func(b *bundle) error {
		caps := b.spec.Process.Capabilities
		caps.Bounding = append(caps.Bounding, "CAP_NONSENSE")
		caps.Effective, caps.Permitted = caps.Bounding, caps.Bounding
		b.spec.Process.Args = []string{"sh", "-c", "grep CapEff /proc/self/status >/tmp/eff"}
		err := errors.Join(b.write(), b.ok("--log", b.dir+"/log", "run", "--bundle", b.dir, b.id))
		if log, _ := os.ReadFile(b.dir + "/log"); !strings.Contains(string(log), "level=warning") || !strings.Contains(string(log), "CAP_NONSENSE") {
			err = errors.Join(err, fmt.Errorf("the log has %q", log))
		}
		if got, _ := os.ReadFile(b.dir + "/rootfs/tmp/eff"); string(got) != "CapEff:\t00000000080000e2\n" {
			err = errors.Join(err, fmt.Errorf("it has %q", got))
		}
		return err
	}},
	{"a device whose place has another file is refused", devicePlaces},
	{"a configuration without a mount at /dev has the default devices", func(b *bundle) error {
		b.spec.Mounts = append(b.spec.Mounts[:1:1], b.spec.Mounts[3:]...)
		err := os.WriteFile(b.dir+"/rootfs/dev/file", nil, 0o644)
		return errors.Join(err, b.prints(`cd /dev; for d in null zero full random urandom tty; do [ -c $d ] || echo no $d; done; ls -l fd stdin stdout stderr ptmx | wc -l; ls file 2>/dev/null`+"; true", "5"))
	}},
	{"a namespace of another type is refused", func(b *bundle) error {
		b.spec.Linux.Namespaces[1].Path = "/proc/self/ns/uts"
		return errors.Join(b.write(), b.refused("", "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
	}},
	{"a relative destination is below the root", func(b *bundle) error {
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "tmp/place", Type: "tmpfs", Source: "marker"})
		return b.prints("cd /; grep -c 'marker /tmp/place tmpfs' /proc/mounts", "1")
	}},
	{"an option that a bind mount has no place for is a warning", func(b *bundle) error {
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/x", Source: "/usr", Options: []string{"bind", "size=5", "async"}})
		err := errors.Join(b.write(), b.ok("--log", b.dir+"/log", "create", "--bundle", b.dir, b.id))
		if log, _ := os.ReadFile(b.dir + "/log"); !strings.Contains(string(log), "level=warning") || !strings.Contains(string(log), "/x: size=5\"") {
			err = errors.Join(err, fmt.Errorf("the log has %q", log))
		}
		return err
	}},
	{"the size of a terminal that is not asked for counts for nothing", func(b *bundle) error {
		b.spec.Process.ConsoleSize = &specs.Box{Height: 1 << 20, Width: 1 << 20}
		return b.prints("echo ok", "ok")
	}},
	{"the score for the OOM killer is left as it is", func(b *bundle) error {
		own, err := os.ReadFile("/proc/self/oom_score_adj")
		return errors.Join(err, b.prints("cat /proc/self/oom_score_adj", strings.TrimSpace(string(own))))
	}},
	{"timers are as late as the caller's", func(b *bundle) error {
		own, err := os.ReadFile("/proc/self/timerslack_ns")
		return errors.Join(err, b.prints("cat /proc/self/timerslack_ns", strings.TrimSpace(string(own))))
	}},
	{"the cgroup belongs to who may write there", cgroupOwner},
	{"a cgroup that is another's", foundCgroup},
	{"a user namespace is joined with its own mapping alone", joinedMapping},
	{"configurations that contradict themselves", contradictions},
}

// failingHooks: the error is told, nothing is left, and the last hooks run.
func failingHooks(b *bundle) error {
	one := 1
	if err := os.WriteFile(b.dir+"/rootfs/bin/bad", []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		return err
	}
	last := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo x >>" + b.dir + "/last"}}}
	fails := []specs.Hook{{Path: "/bin/false"}}
	inside := []specs.Hook{{Path: "/bin/bad", Env: []string{"PATH=/bin"}}}
	slow := []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: &one}}
	var err error
	want := ""
	for _, c := range []struct {
		hooks specs.Hooks
		verb  string
	}{
		//lint:ignore SA1019 still specified
		{specs.Hooks{Prestart: fails}, "create"}, {specs.Hooks{CreateRuntime: fails}, "create"}, {specs.Hooks{CreateContainer: fails}, "create"},
		{specs.Hooks{StartContainer: inside}, "start"}, {specs.Hooks{StartContainer: slow}, "start"}, {specs.Hooks{Poststart: fails}, "start"}, {specs.Hooks{StartContainer: inside}, "run"},
	} {
		b.spec.Hooks = &c.hooks
		b.spec.Hooks.Poststop = last
		switch c.verb {
		case "start":
			err = errors.Join(err, b.create(), b.refused("hook", "start", b.id))
		default:
			err = errors.Join(err, b.write(), b.refused("hook", c.verb, "--bundle", b.dir, b.id))
		}
		err = errors.Join(err, b.refused("does not exist", "state", b.id))
		want += "x\n"
		if got, _ := os.ReadFile(b.dir + "/last"); string(got) != want {
			return errors.Join(err, fmt.Errorf("%s, %+v: the last hooks ran as %q, want %q", c.verb, c.hooks, got, want))
		}
	}
	return err
}

// devicePlaces: what is there must be the device, wherever that is.
func devicePlaces(b *bundle) error {
	null := specs.LinuxDevice{Path: "/etc/null", Type: "c", Major: 1, Minor: 3}
	fifo := specs.LinuxDevice{Path: "/etc/fifo", Type: "p"}
	refused := func(d ...specs.LinuxDevice) error {
		b.spec.Linux.Devices = d
		return errors.Join(b.write(), b.refused("another file is in the place", "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
	}
	place := b.dir + "/rootfs" + null.Path
	err := errors.Join(os.WriteFile(place, nil, 0o644), refused(null), os.Remove(place), unix.Mknod(place, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))), refused(null),
		os.Remove(place), unix.Mkfifo(place, 0o666), refused(null), os.Remove(place))
	other := null
	other.Minor = 7
	err = errors.Join(err, refused(null, other), os.Remove(place))
	b.spec.Linux.Devices = []specs.LinuxDevice{null, null, fifo, {Path: "/dev/null", Type: "c", Major: 1, Minor: 3}}
	err = errors.Join(err, b.prints("[ -c /etc/null ] && [ -p /etc/fifo ] && echo >/dev/null && echo made", "made"), b.prints("[ -c /etc/null ] && echo found", "found"))
	// A /dev that is not the container's own is not written to.
	b.spec.Mounts[1] = specs.Mount{Destination: "/dev", Type: "bind", Source: "/dev", Options: []string{"rbind"}}
	b.spec.Mounts = append(b.spec.Mounts[:2:2], b.spec.Mounts[3:]...)
	b.spec.Linux.Devices = []specs.LinuxDevice{null, {Path: "/dev/zero", Type: "c", Major: 1, Minor: 5}}
	err = errors.Join(err, b.prints("[ -c /dev/zero ] && echo found", "found"))
	err = errors.Join(err, refused(specs.LinuxDevice{Path: "/dev/zero", Type: "c", Major: 1, Minor: 3}))
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/nowhere", Type: "c", Major: 1, Minor: 3}}
	err = errors.Join(err, b.write(), b.refused("/dev/nowhere", "create", "--bundle", b.dir, b.id))
	if _, serr := os.Lstat("/dev/nowhere"); serr == nil {
		err = errors.Join(err, errors.New("the host has a new device"), os.Remove("/dev/nowhere"))
	}
	return err
}

// joinedMapping: engines write both the path and the mapping of a pod.
func joinedMapping(b *bundle) error {
	mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = mapping, mapping
	if err := errors.Join(os.Chmod(b.dir, 0o755), b.started()); err != nil {
		return err
	}
	s, err := b.state()
	if err != nil {
		return err
	}
	other := *b
	other.id = b.id + "-2"
	other.spec.Linux.Namespaces[6].Path = fmt.Sprintf("/proc/%v/ns/user", s["pid"])
	err = other.prints("id -u", "0")
	other.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 999}}
	return errors.Join(err, other.write(), other.refused("gid_map", "create", "--bundle", b.dir, other.id))
}

// cgroupOwner: what is mounted writable, in a namespace of its own, belongs to the
// container's user; limits and what is mounted read-only do not.
func cgroupOwner(b *bundle) error {
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	b.spec.Linux.GIDMappings = b.spec.Linux.UIDMappings
	b.spec.Process.User.UID = 7
	err := os.Chmod(b.dir, 0o755)
	for _, c := range []struct {
		option string
		owner  uint32
	}{{"ro", 0}, {"rw", 100007}} {
		b.spec.Mounts[4].Options = []string{"nosuid", "noexec", "nodev", c.option}
		if err = errors.Join(err, b.create()); err != nil {
			return err
		}
		s, serr := b.state()
		group, gerr := os.ReadFile(fmt.Sprintf("/proc/%v/cgroup", s["pid"]))
		dir := "/sys/fs/cgroup" + strings.TrimSpace(string(group[strings.LastIndexByte(string(group), ':')+1:]))
		for file, want := range map[string]uint32{"": c.owner, "/cgroup.procs": c.owner, "/cgroup.subtree_control": c.owner, "/cgroup.freeze": 0, "/cgroup.max.depth": 0} {
			var st unix.Stat_t
			if serr := unix.Stat(dir+file, &st); serr != nil || st.Uid != want {
				err = errors.Join(err, serr, fmt.Errorf("%s: %s%s belongs to %d, want %d", c.option, dir, file, st.Uid, want))
			}
		}
		err = errors.Join(err, serr, gerr, b.ok("delete", "--force", b.id))
	}
	return err
}

// foundCgroup: one with processes or a frozen one is refused; an empty one is used
// and left.
func foundCgroup(b *bundle) error {
	b.spec.Linux.CgroupsPath = "/" + b.id + "-found"
	dir := "/sys/fs/cgroup" + b.spec.Linux.CgroupsPath
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer os.Remove(dir)
	refused := func(words string) error {
		return errors.Join(b.write(), b.refused(words, "create", "--bundle", b.dir, b.id), b.refused("does not exist", "state", b.id))
	}
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		return err
	}
	err := errors.Join(os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(sleep.Process.Pid)), 0), refused("cgroup"))
	if kerr := sleep.Process.Signal(unix.Signal(0)); kerr != nil {
		err = errors.Join(err, fmt.Errorf("the process there is gone: %w", kerr))
	}
	_ = sleep.Process.Kill()
	_ = sleep.Wait()
	err = errors.Join(err, os.WriteFile(dir+"/cgroup.freeze", []byte("1"), 0), refused("frozen"), os.WriteFile(dir+"/cgroup.freeze", []byte("0"), 0),
		b.started(), b.ok("delete", "--force", b.id))
	_, serr := os.Stat(dir)
	return errors.Join(err, serr)
}

// contradictions: each is refused, by us or by the kernel, and leaves nothing.
func contradictions(b *bundle) error {
	one := uint(1)
	mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	bind := func(s *specs.Spec, options ...string) *specs.Mount {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "none", Source: "/usr", Options: append(options, "bind")})
		return &s.Mounts[len(s.Mounts)-1]
	}
	var err error
	for name, change := range map[string]func(*specs.Spec){
		"idmap without a mapping":   func(s *specs.Spec) { bind(s, "idmap") },
		"ridmap without a mapping":  func(s *specs.Spec) { bind(s, "ridmap") },
		"a mapping of users alone":  func(s *specs.Spec) { bind(s, "idmap").UIDMappings = mapping },
		"a mapping of groups alone": func(s *specs.Spec) { bind(s, "idmap").GIDMappings = mapping },
		"a user namespace without a mapping": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		},
		"offsets of an unknown clock": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"realtime": {Secs: 1}}
		},
		"an error of what is allowed": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: &one}
		},
		"metadata for nobody": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "x"}
		},
		"a rule without calls": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Action: specs.ActErrno}}}
		},
		"an agent that does not listen": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/nonexistent", Syscalls: []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActNotify}}}
		},
		"nodes for no policy": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolDefault, Nodes: "0"}
		},
		"a policy for no nodes": func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind} },
		"a nice value beyond all": func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -21}
		},
		"a priority beyond all": func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
		},
		"processors that are none": func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "3-1"} },
		"a personality with flags": func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"ADDR_NO_RANDOMIZE"}}
		},
		"a propagation that is none":         func(s *specs.Spec) { s.Linux.RootfsPropagation = "sideways" },
		"a group of resctrl without resctrl": func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} },
		"a controller that is none": func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"nonsense.max": "1"}}
		},
		"a device of no type": func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} },
		"a rule for devices of no type": func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "x"}}}
		},
		"swap that memory does not fit into": func(s *specs.Spec) {
			limit, swap := int64(2<<30), int64(1<<30)
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap}}
		},
	} {
		s := *baseSpec()
		change(&s)
		b.spec = &s
		err = errors.Join(err, b.write())
		if rerr := b.refused("", "create", "--bundle", b.dir, b.id); rerr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, rerr))
			_, _ = b.call("delete", "--force", b.id)
		}
		if left := b.left(); left != "" {
			err = errors.Join(err, fmt.Errorf("%s: left behind: %s", name, left))
		}
	}
	return err
}
