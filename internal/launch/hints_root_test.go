// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/runtime"
)

// attempt launches as the helper does, without systemd, and gives what the
// operator would read; "" = the payload was started.
func attempt(t *testing.T, service definition.Service) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: run it as the test command of README.md does")
	}
	service.Name = "test"
	service.NetworkMode = "none" // a network would be made
	service.Source = definition.Source{File: "test.yaml", Lines: definition.NewLines([]definition.Line{
		{Key: "command", Position: definition.Position{Line: 2, Col: 1}}, {Key: "rootfs", Position: definition.Position{Line: 1, Col: 1}}, {Key: "volumes", Position: definition.Position{Line: 3, Col: 1}}, {Key: "userns_mode", Position: definition.Position{Line: 4, Col: 1}},
		{Key: "working_dir", Position: definition.Position{Line: 5, Col: 1}}, {Key: "security_opt", Position: definition.Position{Line: 6, Col: 1}},
		{Key: "privileged", Position: definition.Position{Line: 7, Col: 1}}, {Key: "cap_add", Position: definition.Position{Line: 8, Col: 1}},
	})}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := &starter{service: &service}
	facts, _, err := inspect(&service)
	if err != nil {
		return s.explain("build-plan", err)
	}
	facts.IDStart = 1 << 30
	if s.plan, err = planner.Build(&service, facts); err != nil {
		return s.explain("build-plan", err)
	}
	s.plan.Spec.Process.Rlimits = nil // the machine of the tests may not raise any
	s.launch, err = runtime.Prepare(s.plan, runtime.Options{Stdio: [3]*os.File{null, null, null}, AttachPoint: t.TempDir(), ID: "test", Bundle: "/bundle"})
	if err != nil {
		return s.explain("prepare-runtime", err)
	}
	defer s.launch.Close()
	s.noteNosuid()
	s.noteUnmapped()
	if s.child, err = s.launch.Start(); err != nil {
		return s.explain("clone-payload", err)
	}
	text := ""
	if err := s.child.AwaitExec(); err != nil {
		text = s.explain("await-exec", err)
	}
	s.child.Close()
	for {
		if _, err := unix.Wait4(s.child.PID, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return text
		}
	}
}

// newRoot is a root file system with files; a mode of 0 is a directory.
func newRoot(t *testing.T, files ...file) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		at := filepath.Join(root, f.name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		switch {
		case err != nil:
		case f.mode == 0:
			err = os.MkdirAll(at, 0o755)
		case strings.HasPrefix(f.text, "-> "):
			err = os.Symlink(f.text[3:], at)
		default:
			err = errors.Join(os.WriteFile(at, []byte(f.text), 0o600), os.Chmod(at, f.mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

type file struct {
	name, text string
	mode       os.FileMode
}

// elf is a program of a processor that asks for a dynamic linker, "" = none.
func elf(machine uint16, linker string) string {
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2) // ET_EXEC
	le.PutUint16(b[18:], machine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], 64) // program headers
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	le.PutUint32(b[64:], 3) // PT_INTERP
	le.PutUint64(b[72:], 120)
	le.PutUint64(b[96:], uint64(len(linker)+1))
	return string(b) + linker + "\x00"
}

// What a user will meet, as the sentence that systemctl status shows.
func TestWhatTheOperatorReads(t *testing.T) {
	native := elfOf(t)
	for name, test := range map[string]struct {
		service definition.Service
		want    string
	}{
		"missing program": {definition.Service{RootFS: newRoot(t), Command: []string{"/nope"}},
			"test.yaml:2:1: error: exec-payload: execve /nope: no such file or directory; /nope is not inside the root file system; correct `command:` or `entrypoint:`, or install the program there"},
		"missing in PATH": {definition.Service{RootFS: newRoot(t), Command: []string{"nope"}},
			"; no directory of PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin) inside the root file system has nope; write the program's full path"},
		"relative": {definition.Service{RootFS: newRoot(t, file{"srv/x", "#!/nope\n", 0o755}), WorkingDir: "/srv", Command: []string{"./x"}},
			"; /srv/x is there, but its interpreter /nope is not inside the root file system"},
		"missing interpreter": {definition.Service{RootFS: newRoot(t, file{"x", "#!/usr/bin/python3 -u\n", 0o755}), Command: []string{"/x"}},
			"; /x is there, but its interpreter /usr/bin/python3 is not inside the root file system; install that, or use a program that does not need it"},
		"carriage return": {definition.Service{RootFS: newRoot(t, file{"x", "#!/bin/sh\r\n", 0o755}, file{"bin/sh", "x", 0o755}), Command: []string{"/x"}},
			"; the first line of /x ends in a carriage return"},
		"missing dynamic linker": {definition.Service{RootFS: newRoot(t, file{"bin/x", elf(native, "/lib64/ld-linux-x86-64.so.2"), 0o755}), Command: []string{"x"}},
			"; /bin/x is there, but its dynamic linker /lib64/ld-linux-x86-64.so.2 is not inside the root file system"},
		"interpreter's dynamic linker": {definition.Service{RootFS: newRoot(t, file{"x", "#!/bin/sh\n", 0o755}, file{"bin/sh", elf(native, "/lib/ld-musl.so"), 0o755}), Command: []string{"/x"}},
			"; /bin/sh is there, but its dynamic linker /lib/ld-musl.so is not inside the root file system"},
		"dangling link": {definition.Service{RootFS: newRoot(t, file{"x", "-> /etc/alternatives/x", 1}), Command: []string{"/x"}},
			"; /x is a symbolic link that leads nowhere inside the root file system"},
		"not executable": {definition.Service{RootFS: newRoot(t, file{"x", "data", 0o644}), Command: []string{"/x"}},
			"execve /x: permission denied; /x has mode 0644: nobody may execute it; `chmod +x` it"},
		"not executable for the user": {definition.Service{RootFS: newRoot(t, file{"x", "data", 0o700}), Command: []string{"/x"}, User: "1000"},
			"; user 1000 of the container may not execute /x (mode 0700)"},
		"a directory": {definition.Service{RootFS: newRoot(t, file{name: "x"}), Command: []string{"/x"}},
			"; /x is a directory; name the program in it"},
		"other processor": {definition.Service{RootFS: newRoot(t, file{"x", elf(22, ""), 0o755}), Command: []string{"/x"}},
			"; /x is a program for s390x, and this machine is "},
		"no program": {definition.Service{RootFS: newRoot(t, file{"x", "echo hi\n", 0o755}), Command: []string{"/x"}},
			"execve /x: exec format error; /x is neither an ELF program nor a script that begins with `#!`"},
		"empty": {definition.Service{RootFS: newRoot(t, file{"x", "", 0o755}), Command: []string{"/x"}},
			"; /x is empty; copy the program again"},
		"cut short": {definition.Service{RootFS: newRoot(t, file{"x", "\x7fELF\x02\x01", 0o755}), Command: []string{"/x"}},
			"; /x is cut short"},
		"noexec volume": {definition.Service{RootFS: newRoot(t), Command: []string{"/vol/x"},
			Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: newRoot(t, file{"x", "#!/x", 0o755}), Target: "/vol", NoExec: true}}},
			"; /vol/x is on a volume mounted noexec; drop that option, or move the program"},
		"working directory": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, WorkingDir: "/nope"},
			"test.yaml:5:1: error: change-directory: chdir /nope: no such file or directory; the directory is not inside the root file system"},
		"file over directory": {definition.Service{RootFS: newRoot(t, file{name: "etc/conf"}), Command: []string{"/x"},
			Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: newRoot(t, file{"c", "x", 0o644}) + "/c", Target: "/etc/conf"}}},
			"test.yaml:3:1: error: mount: move_mount mounts[7] dst=/etc/conf: invalid argument; a directory fits on a directory only"},
		"below a file": {definition.Service{RootFS: newRoot(t, file{"etc/conf", "x", 0o644}), Command: []string{"/x"},
			Volumes: []definition.Volume{{Type: definition.VolumeTmpfs, Target: "/etc/conf/sub"}}},
			"; a part of the destination is a file inside the root file system"},
		"missing source": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"},
			Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: "/does/not/exist", Target: "/vol"}}},
			"test.yaml:3:1: error: open-mount-sources: mounts[7]: open_tree /does/not/exist: no such file or directory; create the source"},
		"rootfs that cannot be id-mapped": {definition.Service{RootFS: "/proc/sys", Command: []string{"/x"}},
			"test.yaml:1:1: error: open-rootfs: mount_setattr /proc/sys MOUNT_ATTR_IDMAP: this file system cannot be id-mapped: invalid argument; its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, or write `userns_mode: host`"},
		"missing rootfs": {definition.Service{RootFS: "/does/not/exist", Command: []string{"/x"}},
			"test.yaml:1:1: error: open-rootfs: open_tree /does/not/exist: no such file or directory; create the directory or correct `rootfs:`"},
		"profile without execve": {definition.Service{RootFS: newRoot(t, file{"x", "#!/x", 0o755}), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=" + profile(t, "SCMP_ACT_ERRNO")}},
			"test.yaml:2:1: error: exec-payload: execve /x: operation not permitted; refused by the seccomp profile or an LSM"},
		"bad profile": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=" + profile(t, "SCMP_ACT_WHATEVER")}},
			"; correct the profile, or use `seccomp=builtin`"},
		"profile without its agent": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=" + agentProfile(t, "/no/agent")}},
			"test.yaml:6:1: error: compile-seccomp: seccomp agent /no/agent: connect: no such file or directory; the profile's agent does not listen"},
		"profile whose agent is gone": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=" + agentProfile(t, goneAgent(t))}},
			": connect: connection refused; the profile's agent does not listen"},
		"missing profile": {definition.Service{RootFS: newRoot(t), Command: []string{"/x"}, SecurityOpt: []string{"seccomp=/no/such.json"}},
			"no such file or directory; correct the profile, or use `seccomp=builtin`"},
	} {
		if got := attempt(t, test.service); !strings.Contains(got, test.want) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func elfOf(t *testing.T) uint16 {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	m, ok := map[string]uint16{"x86_64": 62, "aarch64": 183, "riscv64": 243, "s390x": 22, "ppc64le": 21, "loongarch64": 258}[unix.ByteSliceToString(u.Machine[:])]
	if !ok {
		t.Fatalf("no ELF machine is known for %s", u.Machine)
	}
	return m
}

// goneAgent is the socket of one that has ended.
func goneAgent(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/agent"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return path
}

func agentProfile(t *testing.T, agent string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "` + agent + `", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_NOTIFY"}]}`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func profile(t *testing.T, action string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(path, []byte(`{"defaultAction": "`+action+`", "syscalls": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What this machine cannot be brought to: each errno has its row.
func TestHintsOfWhatTheKernelRefuses(t *testing.T) {
	clone := func(e syscall.Errno) error {
		return &runtime.StepError{Step: "create-user-namespace", Err: &os.SyscallError{Syscall: "clone3", Err: e}}
	}
	agent := func(e syscall.Errno) error {
		return &runtime.StepError{Step: "compile-seccomp", Err: fmt.Errorf("seccomp agent: %w", os.NewSyscallError("connect", e))}
	}
	inner := func(step, call string, e syscall.Errno) error {
		return &program.OpError{Step: step, What: call, Err: e}
	}
	for want, err := range map[string]error{
		"this kernel has no user namespaces (CONFIG_USER_NS)":                                           clone(unix.EINVAL),
		"a limit of namespaces is 0 or reached: raise it (`sysctl user` shows them: user.max_user_name": clone(unix.ENOSPC),
		"this helper may not make user namespaces":                                                      clone(unix.EPERM),
		"a drop-in of the unit forbids namespaces (RestrictNamespaces=":                                 clone(unix.ENOSYS),
		"the limit of mounts is reached: raise /proc/sys/fs/mount-max":                                  inner("mount", "move_mount", unix.ENOSPC),
		"no more processes may be made: raise `pids_limit:`":                                            clone(unix.EAGAIN),
		"a limit lets it have one process, and with `init: true` there are two: raise `pids_limit:`":    inner("start-init", "init", unix.EAGAIN),
		"nofile of `ulimits:` is too small for the three standard streams":                              inner("redirect-stdio", "dup3", unix.EBADF),
		"its user has more processes than nproc of `ulimits:` allows":                                   inner("exec-payload", "execve", unix.EAGAIN),
		"take LimitFSIZE= out of it":                                                                    &os.PathError{Op: "write", Path: "/run/x", Err: unix.EFBIG},
		"its file system is full (bytes or inodes), so that a mount point cannot be made":               inner("mount", "mkdirat", unix.ENOSPC),
		"this kernel does not have that file system":                                                    inner("mount", "fsopen", unix.ENODEV),
		"refused by an LSM; look at `journalctl -k`":                                                    inner("mount", "move_mount", unix.EACCES),
		"the profile's agent listens and does not accept":                                               agent(unix.EAGAIN),
		"unitc runs in as many Landlock domains as can be":                                              inner("scope-abstract-sockets", "landlock_restrict_self", unix.E2BIG),
		"or write `landlock=unconfined`":                                                                inner("scope-abstract-sockets", "landlock_restrict_self", unix.EPERM),
		"no profile of that name is loaded (`aa-status`)":                                               inner("set-apparmor-profile", "write", unix.ENOENT),
		"the loaded policy does not know that label":                                                    inner("set-selinux-label", "write", unix.EINVAL),
		"the processor has no more classes or monitors":                                                 inner("join-resctrl", "mkdir", unix.ENOSPC),
		"the kernel refuses the filter: it has more than 4,096 instructions":                            inner("load-seccomp", "seccomp", unix.EINVAL),
		"the helper has no descriptors left, of which each volume takes one":                            inner("mount", "openat2", unix.EMFILE),
		"the host has no descriptors left":                                                              inner("mount", "openat2", unix.ENFILE),
		"/sys/fs/cgroup must show cgroup v2":                                                            inner("mount-cgroup", "fsopen", unix.ENODEV),
		"this user has reached its limit of processes":                                                  inner("set-user", "setresuid", unix.EAGAIN),
		"unitc runs in a container whose /proc is masked in part":                                       inner("open-procfs", "fsmount", unix.EPERM),
		"this kernel does not have the call, or a drop-in of the unit refuses it (SystemCallFilter=)":   inner("mount", "openat2", unix.ENOSYS),
	} {
		s := &starter{service: &definition.Service{Source: definition.Source{File: "test.yaml"}}}
		if got := s.explain("prepare-runtime", err); !strings.Contains(got, want) {
			t.Errorf("%v:\n got %s\nwant %s", err, got, want)
		}
	}
}

// Root without one of its capabilities, as in a container: the cure is at the
// key that asks for it, and names it. A thread of its own has lost it.
func TestRootThatLacksACapability(t *testing.T) {
	root := newRoot(t, file{"x", "#!/x", 0o755})
	for want, service := range map[string]definition.Service{
		"test.yaml:7:1: error: ": {RootFS: root, Command: []string{"/x"}, Privileged: true},
		"test.yaml:8:1: error: ": {RootFS: root, Command: []string{"/x"}, CapAdd: []string{"CAP_SYS_TIME"}},
	} {
		service.UsernsMode = "host" // in a user namespace of its own it has them all
		got := make(chan string)
		go func() {
			goruntime.LockOSThread() // for good
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				t.Error(err)
			}
			data[0].Permitted &^= 1 << unix.CAP_SYS_TIME
			data[0].Effective &^= 1 << unix.CAP_SYS_TIME
			if err := errors.Join(unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_TIME, 0, 0, 0), unix.Capset(&header, &data[0])); err != nil {
				t.Error(err)
			}
			got <- attempt(t, service)
		}()
		if text := <-got; !strings.HasPrefix(text, want) || !strings.Contains(text, "root of this host does not have ") || !strings.Contains(text, "SYS_TIME: the host is") {
			t.Error(text)
		}
	}
}

// A row that no error reaches is one that nobody reads.
func TestNoHintIsHiddenByAnEarlierOne(t *testing.T) {
	for i, h := range hints {
		var errs []error
		for _, call := range []string{h.call + "x", "other"} {
			if h.call == "" || strings.HasPrefix(call, h.call) {
				errs = append(errs, &program.OpError{Step: h.step, What: call, Err: h.errno})
			}
		}
		if h.is != nil {
			errs = []error{fmt.Errorf("%w: %w", h.is, h.errno)}
		}
		if h.errno == 0 {
			errs = []error{h.is}
		}
		found := false
		for _, err := range errs {
			found = found || (&starter{}).hint(h.step, err) == &hints[i]
		}
		if !found {
			t.Errorf("row %d (%s, %s) is never used", i, h.step, unix.ErrnoName(h.errno))
		}
	}
}

// Whatever the kernel keeps the store from, the cure is no other image.
func TestCuresOfTheStore(t *testing.T) {
	s := &definition.Service{Name: "web", Image: "localhost/web:1"}
	for errno, want := range map[unix.Errno]string{
		unix.EROFS: "mounted read-only", unix.ENOSPC: "is full", unix.EDQUOT: "a quota", unix.EMFILE: "LimitNOFILE=", unix.ENFILE: "file-max", unix.EIO: "journalctl -k",
	} {
		err := &fs.PathError{Op: "open", Path: "/var/lib/unitc/lock", Err: errno}
		finder := &volumeFinder{service: &definition.Service{Name: "web", Volumes: []definition.Volume{{Type: definition.VolumeNamed, Source: "data", Target: "/data"}}}}
		for _, got := range []error{imageError(s, err), upperError(s, err), finder.fault(finder.service.Volumes[0], err)} {
			var fault *planner.KeyError
			if !errors.As(got, &fault) || !strings.Contains(fault.Cure, want) {
				t.Errorf("%v: %v", errno, got)
			}
		}
	}
}
