// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func init() { ociCases = append(ociCases, badCases...) }

// badCases: each gives an error and leaves nothing.
var badCases = []ociCase{
	{"ids that are none", func(b *bundle) error {
		err := b.write()
		for _, id := range []string{"", ".", "..", "a/b", "../evil", "/etc", "a\nb", "a b", strings.Repeat("a", 2000), "ä", "a%b", "-x/"} {
			for _, verb := range []string{"create", "run", "state", "start", "delete", "kill", "ps", "pause", "resume", "update", "events"} {
				err = errors.Join(err, b.refused("", verb, "--", id))
			}
			err = errors.Join(err, b.refused("", "exec", "--", id, "true"))
		}
		for _, id := range []string{"a", "_+-.", "A1", "..."} {
			if b.runtime == ociRuntime {
				err = errors.Join(err, b.ok("create", "--bundle", b.dir, id), b.ok("delete", "--force", id))
			}
		}
		return err
	}},
	{"configurations that are none", badConfigs},
	{"configurations that ask for what is not there", impossibleConfigs},
	{"strings of 70 kB where they have no place", longStrings},
	{"long strings are passed whole", func(b *bundle) error {
		b.spec.Process.Env = append(b.spec.Process.Env, "LONG="+strings.Repeat("x", 70_000))
		return b.prints(`echo -n "$LONG" | wc -c`, "70000")
	}},
	{"a bundle that is none", func(b *bundle) error {
		return errors.Join(b.refused("config.json", "create", "--bundle", b.dir, b.id), b.refused("", "create", "--bundle", "/nonexistent", b.id))
	}},
	{"a command line that is none", func(b *bundle) error {
		return errors.Join(b.refused("requires exactly 1 argument", "state"), b.refused("requires exactly 1 argument", "start", "a", "b"),
			b.refused("flag provided but not defined", "state", "--nonsense", "x"), b.refused("", "create", "--bundle"), b.refused("", "nonsense"))
	}},
	{"a terminal needs a console socket, and the socket a terminal", func(b *bundle) error {
		err := errors.Join(b.write(), b.refused("console socket", "create", "--console-socket", "/tmp/x", "--bundle", b.dir, b.id))
		b.spec.Process.Terminal = true
		return errors.Join(err, b.write(), b.refused("console socket", "create", "--bundle", b.dir, b.id), b.refused("", "create", "--console-socket", "/nonexistent", "--bundle", b.dir, b.id))
	}},
	{"the console socket gets the terminal", consoleSocket},
	{"the working directory is no way out", func(b *bundle) error {
		var err error
		for fd := range 16 {
			b.spec.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
			b.spec.Process.Args = []string{"sh", "-c", "pwd; ls; exit 0"}
			err = errors.Join(err, b.write())
			if out, _ := b.call("run", "--bundle", b.dir, b.id); strings.Contains(out, "rootfs") { // as in the bundle's own directory
				err = errors.Join(err, fmt.Errorf("%s: %s", b.spec.Process.Cwd, out))
			}
		}
		return err
	}},
}

func badConfigs(b *bundle) error {
	var err error
	good, jerr := json.Marshal(b.spec)
	if jerr != nil {
		return jerr
	}
	text := string(good)
	for name, config := range map[string]string{
		"empty": "", "cut": text[:len(text)/2], "not an object": "[]", "number as string": strings.Replace(text, `"uid":0`, `"uid":"0"`, 1),
		"args as string": strings.Replace(text, `"args":["sleep","1000"]`, `"args":"sleep"`, 1),
		"negative uid":   strings.Replace(text, `"uid":0`, `"uid":-1`, 1), "uid too large": strings.Replace(text, `"uid":0`, `"uid":4294967296`, 1),
		"uid that means none":   strings.Replace(text, `"uid":0`, `"uid":4294967295`, 1),
		"gid that means none":   strings.Replace(text, `"gid":0`, `"gid":4294967295`, 1),
		"group that means none": strings.Replace(text, `"gid":0`, `"gid":0,"additionalGids":[4294967295]`, 1),
		"no version":            strings.Replace(text, `"ociVersion":"1.0.2"`, `"ociVersion":""`, 1), "version 9": strings.Replace(text, `"1.0.2"`, `"9.0.0"`, 1), "version text": strings.Replace(text, `"1.0.2"`, `"one"`, 1),
		"relative cwd": strings.Replace(text, `"cwd":"/"`, `"cwd":"tmp"`, 1), "no cwd": strings.Replace(text, `"cwd":"/"`, `"cwd":""`, 1),
		"no args": strings.Replace(text, `["sleep","1000"]`, `[]`, 1), "NUL": strings.Replace(text, `"sleep"`, `"sl\u0000eep"`, 1),
		"no root": strings.Replace(text, `"root":{"path":"rootfs"}`, `"root":null`, 1), "missing root": strings.Replace(text, `"path":"rootfs"`, `"path":"nowhere"`, 1),
		"root is a file":    strings.Replace(text, `"path":"rootfs"`, `"path":"config.json"`, 1),
		"unknown namespace": strings.Replace(text, `"type":"ipc"`, `"type":"ipx"`, 1), "namespace twice": strings.Replace(text, `"type":"ipc"`, `"type":"uts"`, 1),
	} {
		err = errors.Join(err, os.WriteFile(b.dir+"/config.json", []byte(config), 0o644))
		if rerr := b.refused("", "create", "--bundle", b.dir, b.id); rerr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, rerr))
			_, _ = b.call("delete", "--force", b.id)
		}
	}
	return err
}

func impossibleConfigs(b *bundle) error {
	var err error
	for name, change := range map[string]func(*specs.Spec){
		"sysctl of the host": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "|/x"} },
		"sysctl smuggled":    func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.x/../../kernel/core_pattern": "|/x"} },
		"sysctl without its namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[:1]
			s.Hostname, s.Linux.Sysctl = "", map[string]string{"net.ipv4.ip_forward": "1"}
		},
		"hostname without its namespace": func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}
		},
		"mappings without their namespace": func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 5, Size: 1}} },
		"100,000 mappings": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			for i := range uint32(100_000) {
				s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: i, HostID: 100_000 + i, Size: 1})
			}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		},
		"a profile of a security module that is not there": func(s *specs.Spec) { s.Process.ApparmorProfile = "nonsense" },
		"an unknown limit":          func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"an unknown seccomp action": func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"} },
		"a missing mount source": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/nonexistent", Options: []string{"bind"}})
		},
		"an unknown file system": func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "nonsense"}) },
		"a mount below proc": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc/self/attr", Type: "tmpfs", Source: "x"})
		},
		"an absolute namespace that is none": func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/etc/passwd" },
		"a unified file outside": func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"../cgroup.procs": "1"}}
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
	}
	return err
}

// longStrings: each is an error, whether ours or the kernel's, and none is cut.
func longStrings(b *bundle) error {
	var err error
	long := strings.Repeat("x", 70_000)
	for name, change := range map[string]func(*specs.Spec){
		"version": func(s *specs.Spec) { s.Version = long }, "hostname": func(s *specs.Spec) { s.Hostname = long }, "domainname": func(s *specs.Spec) { s.Domainname = long },
		"root": func(s *specs.Spec) { s.Root.Path = long }, "program": func(s *specs.Spec) { s.Process.Args[0] = long }, "absolute program": func(s *specs.Spec) { s.Process.Args[0] = "/bin/" + long },
		"cwd": func(s *specs.Spec) { s.Process.Cwd = "/" + long }, "cgroup": func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + long },
		"namespace": func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/" + long }, "kind of namespace": func(s *specs.Spec) { s.Linux.Namespaces[1].Type = specs.LinuxNamespaceType(long) },
		"masked path": func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/" + long} }, "read-only path": func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"/" + long} },
		"limit":  func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: long}} },
		"sysctl": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net." + long: "1"} }, "value of a sysctl": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": long} },
		"propagation": func(s *specs.Spec) { s.Linux.RootfsPropagation = long }, "device": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/" + long, Type: "c", Major: 1, Minor: 3}}
		},
		"mount": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/" + long, Type: "tmpfs", Source: "x"})
		},
		"source of a mount": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/" + long, Options: []string{"bind"}})
		},
		"option of a mount": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Source: "x", Options: []string{long}})
		},
		"hook": func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/" + long}}} },
		"system call": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.Arch(long)}, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}}}
		},
	} {
		s := *baseSpec()
		change(&s)
		b.spec = &s
		err = errors.Join(err, b.write())
		if rerr := b.refused("", "create", "--bundle", b.dir, b.id); rerr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %.300w", name, rerr))
			_, _ = b.call("delete", "--force", b.id)
		}
		if left := b.left(); left != "" {
			err = errors.Join(err, fmt.Errorf("%s: left behind: %s", name, left))
		}
	}
	return err
}

func consoleSocket(b *bundle) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.dir + "/console", Net: "unix"})
	if err != nil {
		return err
	}
	defer l.Close()
	terminal := make(chan *os.File, 4)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				close(terminal)
				return
			}
			oob, buf := make([]byte, 64), make([]byte, 4096)
			_, n, _, _, _ := c.ReadMsgUnix(buf, oob)
			if m, err := unix.ParseSocketControlMessage(oob[:n]); err == nil && len(m) == 1 {
				if fds, err := unix.ParseUnixRights(&m[0]); err == nil {
					terminal <- os.NewFile(uintptr(fds[0]), "terminal")
				}
			}
			c.Close()
		}
	}()
	b.spec.Process.Terminal = true
	b.spec.Process.Args = []string{"sh", "-c", "tty; [ -c /dev/console ] && echo console; sleep 1000"}
	if err := errors.Join(b.write(), b.ok("create", "--bundle", b.dir, "--console-socket", b.dir+"/console", b.id)); err != nil {
		return err
	}
	first := <-terminal
	defer first.Close()
	if err := b.ok("start", b.id); err != nil {
		return err
	}
	if err := terminalSays(first, "/dev/pts/0\r\nconsole\r\n"); err != nil {
		return err
	}
	if err := b.ok("exec", "--tty", "--detach", "--console-socket", b.dir+"/console", b.id, "tty"); err != nil {
		return err
	}
	second := <-terminal
	defer second.Close()
	return terminalSays(second, "/dev/pts/1\r\n")
}

func terminalSays(f *os.File, want string) error {
	buf := make([]byte, len(want))
	for n := 0; n < len(buf); {
		m, err := f.Read(buf[n:])
		if err != nil {
			return fmt.Errorf("the terminal says %q: %w", buf[:n], err)
		}
		n += m
	}
	if string(buf) != want {
		return fmt.Errorf("the terminal says %q, want %q", buf, want)
	}
	return nil
}

// State files truncated at every byte: an error, and delete --force clears up.
//
//lab:once
func TestOCITruncatedState(t *testing.T) {
	b := newBundle(t, ociRuntime)
	defer os.RemoveAll(b.dir)
	defer os.RemoveAll(b.root)
	b.spec.Linux.CgroupsPath = "/" + b.id
	if err := b.started(); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(b.root + "/" + b.id + "/state.json")
	if err != nil {
		t.Fatal(err)
	}
	for n := range state {
		if err := os.WriteFile(b.root+"/"+b.id+"/state.json", state[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if out, status := b.call("state", b.id); status != 1 || !strings.Contains(out, "damaged") {
			t.Fatalf("%d of %d bytes: state exits with %d: %s", n, len(state), status, out)
		}
	}
	for _, args := range [][]string{{"start", b.id}, {"kill", b.id}, {"delete", b.id}, {"exec", b.id, "true"}, {"pause", b.id}} {
		if err := b.refused("damaged", args...); err != nil {
			t.Error(err)
		}
	}
	if out, status := b.call("list"); status != 0 || !strings.Contains(out, "damaged") {
		t.Errorf("list exits with %d: %s", status, out)
	}
	if err := b.ok("delete", "--force", b.id); err != nil {
		t.Error(err)
	}
	if left := b.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// A runtime that is killed while it creates leaves what delete --force clears
// up; its container does not outlive it.
//
//lab:once
func TestOCIKilledRuntime(t *testing.T) {
	b := newBundle(t, ociRuntime)
	defer os.RemoveAll(b.dir)
	defer os.RemoveAll(b.root)
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "kill -9 $PPID"}}}}
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
	if _, status := b.call("create", "--bundle", b.dir, b.id); status == 0 {
		t.Fatal("create was to be killed")
	}
	if err := b.awaitStatus("stopped"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(b.refused("exist", "create", "--bundle", b.dir, b.id), b.refused("", "start", b.id), b.ok("delete", "--force", b.id)); err != nil {
		t.Error(err)
	}
	if left := b.left(); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
