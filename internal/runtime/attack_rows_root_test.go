// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

func init() {
	probes["family"] = func(name string) string {
		family := map[string]int{"key": unix.AF_KEY, "rxrpc": unix.AF_RXRPC, "alg": unix.AF_ALG, "packet": unix.AF_PACKET, "xdp": unix.AF_XDP}[name]
		fd, err := unix.Socket(family, unix.SOCK_RAW, 0)
		if err == nil {
			unix.Close(fd)
		}
		return outcome(err)
	}
	// deny is what the filter alone decides: a call with arguments that the kernel
	// itself would find fault with otherwise.
	probes["deny"] = func(name string) string {
		nr := map[string]uintptr{
			"fsopen": unix.SYS_FSOPEN, "open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "setns": unix.SYS_SETNS, "vmsplice": unix.SYS_VMSPLICE,
			"kexec_load": unix.SYS_KEXEC_LOAD, "init_module": unix.SYS_INIT_MODULE, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "add_key": unix.SYS_ADD_KEY,
			"process_vm_readv": unix.SYS_PROCESS_VM_READV, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "swapon": unix.SYS_SWAPON,
			"reboot": unix.SYS_REBOOT, "settimeofday": unix.SYS_SETTIMEOFDAY, "syslog": unix.SYS_SYSLOG, "quotactl": unix.SYS_QUOTACTL, "pivot_root": unix.SYS_PIVOT_ROOT,
		}[name]
		_, _, e := syscall.RawSyscall6(nr, ^uintptr(0), 0, 0, 0, 0, 0)
		return outcome(errnoOrNil(e))
	}
	probes["unshare-cgroup"] = func(string) string { return outcome(unix.Unshare(unix.CLONE_NEWCGROUP)) }
	probes["mount-cgroup1"] = func(path string) string {
		return outcome(unix.Mount("cgroup", path, "cgroup", 0, "devices"))
	}
	// tiocsti puts a character into the input of a terminal; the ioctl is refused
	// by its number, before the kernel looks at the descriptor.
	probes["tiocsti"] = func(string) string {
		c := byte('x')
		_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
		return outcome(errnoOrNil(e))
	}
	probes["open"] = func(path string) string {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		return outcome(err)
	}
}

// What the kernel's own ways out need (CVE-2022-0185, 2022-0492, 2026-31431,
// 2026-43284, TIOCSTI and their kind) is refused by the filter.
func TestWaysThroughTheKernel(t *testing.T) {
	c := newContainer(t)
	c.look(map[string]string{
		"family=key": "EAFNOSUPPORT", "family=rxrpc": "EAFNOSUPPORT", "family=alg": "EAFNOSUPPORT", "family=packet": "EAFNOSUPPORT", "family=xdp": "EAFNOSUPPORT",
		"deny=fsopen": "EPERM", "deny=open_tree": "EPERM", "deny=move_mount": "EPERM", "deny=setns": "EPERM", "deny=vmsplice": "EPERM", "deny=kexec_load": "EPERM",
		"deny=init_module": "EPERM", "deny=perf_event_open": "EPERM", "deny=add_key": "EPERM", "deny=process_vm_readv": "EPERM", "deny=pidfd_getfd": "EPERM",
		"deny=open_by_handle_at": "EPERM", "deny=swapon": "EPERM", "deny=reboot": "EPERM", "deny=settimeofday": "EPERM", "deny=syslog": "EPERM",
		"deny=quotactl": "EPERM", "deny=pivot_root": "EPERM",
		"unshare-cgroup": "EPERM", "mount-cgroup1=/tmp": "EPERM", "tiocsti": "EPERM", "open=/dev/tty": "ENXIO",
		"list=/sys/devices/virtual/powercap": absentOr(t, "/sys/devices/virtual/powercap"), "read=/proc/interrupts": "", "read=/proc/kallsyms": "",
	})
}

// absentOr is what a masked directory shows: nothing, where the host has it.
func absentOr(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return "ENOENT"
	}
	return ""
}

// The same with the protection taken away: each of them then reaches the kernel,
// so that the test above is known to tell.
func TestWaysThroughTheKernelBite(t *testing.T) {
	c := newContainer(t)
	c.service.UsernsMode = "host"
	c.service.SecurityOpt = []string{"seccomp=unconfined", "systempaths=unconfined"}
	c.service.CapAdd = []string{"CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYSLOG"}
	seen := c.run("family=packet", "deny=fsopen", "deny=open_tree", "deny=move_mount", "deny=setns", "deny=vmsplice", "deny=add_key", "deny=pidfd_getfd",
		"unshare-cgroup", "tiocsti", "read=/proc/interrupts")
	for probe, got := range seen {
		if got == "EPERM" || got == "EAFNOSUPPORT" || got == "" {
			t.Errorf("%s: %q also without the filter", probe, got)
		}
	}
}

// trojans are programs that a runtime might start, in the places where it would
// find the image's (CVE-2019-14271, 2026-41567, 2022-1227).
var trojans = []string{"sh", "mount", "umount", "tar", "xz", "gzip", "unpigz", "zstd", "modprobe", "nft", "ip", "iptables", "newuidmap", "newgidmap", "nsenter", "ps", "getent", "ldconfig", "cat"}

func TestNothingOfTheImageIsRun(t *testing.T) {
	c := newContainer(t)
	for _, dir := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"} {
		must(t, os.MkdirAll(c.root+"/"+dir, 0o755))
		for _, name := range trojans {
			must(t, os.Symlink("/payload", c.root+"/"+dir+"/"+name))
		}
	}
	must(t, os.MkdirAll(c.root+"/lib/x86_64-linux-gnu", 0o755))
	c.write("lib/x86_64-linux-gnu/libnss_files.so.2", "no library")
	c.write("etc/nsswitch.conf", "passwd: files trojan\n")
	c.write("etc/passwd", "web:x:7:7::/:/bin/sh\n")
	c.service.User = "web"
	h := c.hold()
	seen, err := h.probe(ExecConfig{User: "web"}, "ids")
	must(t, err)
	expect(t, seen, map[string]string{"ids": "7 7 []"})
	ran := func() bool {
		_, inside := os.Stat(c.root + "/trojan-ran")
		_, outside := os.Stat("/trojan-ran")
		return inside == nil || outside == nil
	}
	if ran() {
		t.Error("a program of the image was started")
	}
	// One that is started is seen.
	c.service.User, c.service.Command = "", []string{"mount"}
	if out, err := c.exec(); err != nil || !ran() {
		t.Errorf("the trojan itself: %v: %s", err, out)
	}
}

// A working directory that leads out of the root makes nothing on the host
// (CVE-2026-55686), and is not entered.
func TestWorkingDirectoryThroughALink(t *testing.T) {
	decoy := t.TempDir()
	must(t, os.Chmod(decoy, 0o777))
	c := newContainer(t)
	must(t, os.Symlink(decoy, c.root+"/work"))
	c.service.WorkingDir = "/work/made"
	c.service.Command = []string{"/payload", "payload", "cwd"}
	out, err := c.exec()
	if err == nil {
		t.Errorf("started in %s", out)
	}
	if entries, err := os.ReadDir(decoy); err != nil || len(entries) != 0 {
		t.Errorf("the host's directory has %v (%v)", entries, err)
	}
}

// Configurations of absurd size are errors, never cut short (CVE-2021-43784).
func TestAbsurdConfigurations(t *testing.T) {
	for name, change := range map[string]func(*plan.Plan){
		"100,000 id mappings": func(p *plan.Plan) {
			for i := range uint32(100_000) {
				m := specs.LinuxIDMapping{ContainerID: 1<<20 + i, HostID: 1<<20 + i, Size: 1}
				p.Spec.Linux.UIDMappings = append(p.Spec.Linux.UIDMappings, m)
			}
		},
		"an argument of 3 MiB": func(p *plan.Plan) { p.Spec.Process.Args = append(p.Spec.Process.Args, strings.Repeat("x", 3<<20)) },
		"a path of 70 KB": func(p *plan.Plan) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/" + strings.Repeat("x/", 35<<10), Type: "tmpfs", Source: "x"})
		},
		"a host name of 70 KB": func(p *plan.Plan) { p.Spec.Hostname = strings.Repeat("x", 70<<10) },
		"100,000 mounts": func(p *plan.Plan) {
			m := specs.Mount{Destination: "/tmp", Type: "bind", Source: "/nonexistent", Options: []string{"bind"}}
			p.Spec.Mounts = slices.Repeat([]specs.Mount{m}, 100_000)
		},
	} {
		c := newContainer(t)
		c.service.Command, c.spec = []string{"/payload", "payload"}, change
		if out, err := c.exec(); err == nil {
			t.Errorf("%s: started: %.100s", name, out)
		}
	}
}

// Labels and annotations are data (CVE-2023-6476, 2026-53488): none becomes a
// hook, a mount, or a property of the unit.
func TestLabelsAndAnnotationsAreData(t *testing.T) {
	hostile := []definition.KeyValue{
		{Key: "org.systemd.property.ExecStartPost", Value: "'/bin/touch /owned'"}, {Key: "run.oci.hooks.stdout", Value: "/owned"},
		{Key: "io.kubernetes.cri-o.Devices", Value: "/dev/mem"}, {Key: "run.oci.mount_context_type", Value: "context"}, {Key: "module.wasm.image/variant", Value: "compat"},
	}
	c := newContainer(t)
	c.service.Command = []string{"/x"}
	plain, err := c.plan()
	must(t, err)
	c.service.Labels, c.service.Annotations = hostile, hostile
	labelled, err := c.plan()
	must(t, err)
	if len(labelled.Spec.Annotations) == 0 {
		t.Error("no label has reached the configuration")
	}
	labelled.Spec.Annotations = plain.Spec.Annotations
	if !reflect.DeepEqual(plain, labelled) {
		t.Errorf("labels have changed the plan: %+v and %+v", plain, labelled)
	}
}
