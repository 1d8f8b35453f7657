// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// CVE-2022-36109 and its kind: groups of the caller stay behind.
// CVE-2022-24769: so do inheritable and ambient capabilities.
func TestNothingOfTheCallerIsInherited(t *testing.T) {
	errs := make(chan map[string]string, 1)
	go func() {
		// The thread dies with its changed credentials.
		goruntime.LockOSThread()
		groups := []uint32{27, 4, 1234}
		if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, 3, uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
			errs <- map[string]string{"setgroups": e.Error()}
			return
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			errs <- map[string]string{"capget": err.Error()}
			return
		}
		data[0].Inheritable, data[1].Inheritable = data[0].Permitted, data[1].Permitted
		if err := unix.Capset(&header, &data[0]); err != nil {
			errs <- map[string]string{"capset": err.Error()}
			return
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0); err != nil {
			errs <- map[string]string{"ambient": err.Error()}
			return
		}
		leak, err := unix.Open("/", unix.O_RDONLY, 0) // no O_CLOEXEC
		if err != nil {
			errs <- map[string]string{"open": err.Error()}
			return
		}
		defer unix.Close(leak)
		c := newContainer(t)
		errs <- c.run("ids", "status=CapInh", "status=CapAmb", "status=CapPrm", "fds", "status=Groups")
	}()
	expect(t, <-errs, map[string]string{
		"ids": "0 0 []", "status=CapInh": "0000000000000000", "status=CapAmb": "0000000000000000", "status=CapPrm": "00000000000004fb",
		"fds": "0 1 2", "status=Groups": "",
	})
}

// CVE-2026-47262: a name file without end. Memory stays bounded because the
// file is refused by its size before it is read.
func TestEndlessNameFiles(t *testing.T) {
	for _, file := range []string{"etc/passwd", "etc/group"} {
		c := newContainer(t)
		c.write("etc/passwd", "web:x:5:5::/:/bin/sh\n")
		if err := os.Truncate(filepath.Join(c.root, mustCreate(t, c.root, file)), 3<<30); err != nil {
			t.Fatal(err)
		}
		c.service.User, c.service.Command = "web", []string{"/payload", "payload"}
		if _, err := c.exec(); err == nil || !strings.Contains(err.Error(), "10 MiB") {
			t.Errorf("%s of 3 GiB: %v", file, err)
		}
	}
}

func mustCreate(t *testing.T, root, file string) string {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(root, file), os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return file
}

// CVE-2019-5736: the payload's first process may be ours (init: true), and a
// payload that names /proc/self/exe runs ours; neither can be written to.
func TestTheHelperCannotBeOverwritten(t *testing.T) {
	c := newContainer(t)
	c.service.Init = true
	seen := c.run("write=/proc/1/exe", "write=/proc/self/exe")
	for probe, got := range seen {
		if got == "ok" {
			t.Errorf("%s succeeded", probe)
		}
	}
	// The test binary itself stands for the helper: its bytes are unchanged.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a, errA := os.ReadFile(self)
	b, errB := os.ReadFile(filepath.Join(c.root, "payload"))
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Fatal("the helper's file has changed")
	}
}

// CVE-2025-31133, CVE-2025-52565, CVE-2026-41579: what is in the image's /dev
// decides nothing.
func TestImageDevIsIgnored(t *testing.T) {
	c := newContainer(t)
	if err := os.Mkdir(filepath.Join(c.root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"null", "console", "ptmx", "fd"} {
		if err := os.Symlink("/proc/sys/kernel/core_pattern", filepath.Join(c.root, "dev", name)); err != nil {
			t.Fatal(err)
		}
	}
	c.look(map[string]string{
		"stat=/dev/null":               "20666 0:0",
		"read=/proc/keys":              "",
		"link=/dev/fd":                 "/proc/self/fd",
		"stat=/dev/pts/ptmx":           c.run("stat=/dev/pts/ptmx")["stat=/dev/pts/ptmx"],
		"mount=/dev":                   "EPERM",
		"remount=/proc/sys":            "EPERM",
		"write=/sys/kernel/vmcoreinfo": c.run("write=/sys/kernel/vmcoreinfo")["write=/sys/kernel/vmcoreinfo"],
	})
}

// Without its own null device a masked path would show the real file: with the
// step left away the same probe reads what the mask hides.
func TestMasksBite(t *testing.T) {
	c := newContainer(t)
	c.spec = func(p *plan.Plan) { p.Spec.Linux.MaskedPaths = nil }
	if got := c.run("list=/sys/module")["list=/sys/module"]; got == "" {
		t.Fatal("/sys/module is empty without a mask: the mask's test proves nothing")
	}
	c.spec = nil
	if got := c.run("list=/sys/module")["list=/sys/module"]; got != "" {
		t.Fatalf("/sys/module is not masked: %s", got)
	}
}

// Device nodes, new namespaces, raw sockets, other processes: what a payload
// that gained root inside would try next.
func TestWhatAnAttackerTriesNext(t *testing.T) {
	c := newContainer(t)
	c.look(map[string]string{
		"socket=packet":  "EAFNOSUPPORT",
		"socket=alg":     "EAFNOSUPPORT",
		"socket=vsock":   "EAFNOSUPPORT",
		"socket=xfrm":    "EAFNOSUPPORT",
		"socket=audit":   "EAFNOSUPPORT",
		"socket=inet":    "ok",
		"socket=raw":     "EPERM",
		"unshare":        "EPERM",
		"clone3":         "ENOSYS",
		"call=keyctl":    "EPERM",
		"call=bpf":       "EPERM",
		"call=ptrace":    "EPERM",
		"call=io_uring":  "EPERM",
		"call=userfault": "EPERM",
		"call=600":       "ENOSYS",
		"mknod=/tmp/x":   "EPERM",
		"mount=/tmp":     "EPERM",
	})
}

func init() {
	probes["socket"] = func(kind string) string {
		s, ok := map[string][3]int{
			"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, "vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0},
			"xfrm": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}, "audit": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT},
			"inet": {unix.AF_INET, unix.SOCK_STREAM, 0}, "raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		}[kind]
		if !ok {
			return "unknown kind"
		}
		fd, err := unix.Socket(s[0], s[1], s[2])
		if err == nil {
			unix.Close(fd)
		}
		return outcome(err)
	}
	probes["call"] = func(name string) string {
		nr := map[string]uintptr{"keyctl": unix.SYS_KEYCTL, "bpf": unix.SYS_BPF, "ptrace": unix.SYS_PTRACE, "io_uring": unix.SYS_IO_URING_SETUP, "userfault": unix.SYS_USERFAULTFD, "600": 600}[name]
		_, _, e := syscall.RawSyscall6(nr, 0, 0, 0, 0, 0, 0)
		if e == 0 {
			return "ok"
		}
		return outcome(unix.Errno(e))
	}
	probes["clone3"] = func(string) string {
		_, _, e := syscall.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
		return outcome(unix.Errno(e))
	}
}

// The init of `init: true` stays as it is when the payload has become itself: without
// the filter, and with the host's ids it would be its root's to change.
func TestInitCannotBeLookedInto(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		c := newContainer(t)
		c.service.Init, c.service.UsernsMode = true, mode
		c.look(map[string]string{"pid": "2", "ids": "0 0 []", "write=/proc/1/mem": "EACCES", "link=/proc/1/exe": "EACCES"})
	}
}
