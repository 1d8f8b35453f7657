// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// kernelAttacks are about what a payload asks the kernel for, and what a
// configuration or an image asks the runtime for.
var kernelAttacks = []attack{
	{"system-calls", "2022-0185, 2022-0492, 2022-0847, 2023-0386, 2024-1086, 2021-22555, 2026-43284, 2026-43500, 2026-46300, 2017-1000112, 2016-5195",
		"calls that holes of the kernel were reached by: new namespaces, mounts, keys, bpf, io_uring, userfaultfd, splicing", "", noFilter, "`security_opt: [seccomp=unconfined]` and capabilities",
		func(t *testing.T, c *target) bool {
			return opens(t, c.hostIDs(), "call=fsopen", "call=open_tree", "call=move_mount", "call=setns", "call=vmsplice", "call=add_key", "call=keyctl", "call=bpf", "call=io_uring",
				"call=userfaultfd", "call=pidfd_getfd", "call=process_vm_readv", "call=open_by_handle_at", "call=perf_event_open", "call=clone3", "unshare=user", "unshare=cgroup", "unshare=net", "mount=/tmp", "tiocsti")
		}},
	{"sockets", "2026-31431, 2020-14386, 2017-7308, 2016-8655, 2020-13401, 2024-1086, 2026-43284", "sockets of families that holes of the kernel were reached by, and raw ones", "", noFilter, "`security_opt: [seccomp=unconfined]` and capabilities",
		func(t *testing.T, c *target) bool {
			return opens(t, c.hostIDs(), "socket=packet", "socket=alg", "socket=vsock", "socket=key", "socket=rxrpc", "socket=xdp", "socket=xfrm", "socket=audit", "socket=netfilter", "socket=raw")
		}},
	{"ptrace", "ptrace", "tracing a process of the container", "", noFilter, "`security_opt: [seccomp=unconfined]` and capabilities",
		func(t *testing.T, c *target) bool {
			c.service.Init = false
			return c.one("ptrace") != "EPERM"
		}},
	{"device-nodes", "GO-2022-0396", "making a device node", "",
		func(c *target) {
			c.service.CapAdd, c.service.SecurityOpt = []string{"CAP_MKNOD"}, []string{"seccomp=unconfined"}
		}, "`cap_add: [MKNOD]` and `userns_mode: host`",
		func(t *testing.T, c *target) bool { return c.hostIDs().one("mknod=/tmp/kmsg") == "ok" }},
	{"kernel-paths", "GO-2023-2412, GHSA-6fw5, GHSA-jq35", "figures and interfaces of the host below /proc and /sys", "",
		func(c *target) { c.service.SecurityOpt = []string{"systempaths=unconfined"} }, "`security_opt: [systempaths=unconfined]`",
		func(t *testing.T, c *target) bool {
			seen := c.hostIDs().see("list=/sys/module", "read=/proc/interrupts", "read=/proc/kallsyms", "list=/sys/devices/virtual/powercap", "open-w=/proc/sys/kernel/core_pattern")
			return seen["list=/sys/module"] != "" || seen["read=/proc/interrupts"] != "" || seen["open-w=/proc/sys/kernel/core_pattern"] == "ok"
		}},
	{"cgroup-writes", "2023-25809, 2022-0492", "writing to the host's tree of cgroups, seen without a namespace of its own", "",
		func(c *target) {
			c.spec = func(s *specs.Spec) {
				for i, m := range s.Mounts {
					if m.Destination == "/sys/fs/cgroup" {
						s.Mounts[i].Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
					}
				}
			}
		}, "the mount is not read-only",
		func(t *testing.T, c *target) bool {
			c.hostIDs().service.Cgroup = "host"
			return c.one("open-w=/sys/fs/cgroup/cgroup.procs") == "ok"
		}},
	{"sysctl-names", "2022-0811, GO-2022-0363", "sysctls of the host, by their names and by others that lead to them", "sysctl-names", nil, "",
		func(t *testing.T, c *target) bool {
			// Its own value: one that gets through changes nothing.
			value := strings.TrimSpace(contents(t, "/proc/sys/vm/swappiness"))
			for _, name := range []string{"vm.swappiness", "vm/swappiness", "net/../vm/swappiness", "net.ipv4/../../vm/swappiness", "kernel.shm_rmid_forced+vm.swappiness", "kernel.domainname\nvm.swappiness"} {
				c.spec = func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: value} }
				if _, err := c.start("cwd"); err == nil {
					return true
				}
			}
			return false
		}},
	{"container-ids", "2025-0750, id traversal", "ids that are paths", "container-id", nil, "",
		func(t *testing.T, c *target) bool {
			must(t, c.configure("cwd"))
			must(t, os.MkdirAll(c.dir+"/state/sub", 0o700))
			for _, id := range []string{"../evil", "sub/evil", "a\nb", strings.Repeat("x", 2000), ".", "..", "", "a b", "é"} {
				if _, err := look(c.command("run", "--bundle", c.dir, id)); err == nil {
					return true
				}
			}
			return false
		}},
	{"absurd-configurations", "2021-43784", "configurations of a size that is cut short somewhere", "",
		func(c *target) {}, "the same, of a usual size",
		func(t *testing.T, c *target) bool {
			mappings, long := 100_000, 70<<10
			if c.loose {
				mappings, long = 3, 20
			}
			started := 0
			for _, change := range []func(*specs.Spec){
				func(s *specs.Spec) {
					for i := range uint32(mappings) {
						s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 1<<20 + i, HostID: 1<<20 + i, Size: 1})
					}
				},
				func(s *specs.Spec) { s.Process.Args = append(s.Process.Args, "cwd="+strings.Repeat("x", 50*long)) },
				func(s *specs.Spec) { s.Hostname = strings.Repeat("x", long) },
				func(s *specs.Spec) {
					s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp/" + strings.Repeat("x/", long/2), Type: "tmpfs", Source: "x"})
				},
			} {
				c.spec = change
				if _, err := c.start("cwd"); err == nil {
					started++
				}
			}
			return started > 0
		}},
	{"programs-of-the-image", "2019-14271, 2026-41567, 2022-1227", "programs and libraries in the places where a runtime would look for its helpers", "",
		func(c *target) { c.service.Command = []string{"mount"} }, "one of them is the payload",
		func(t *testing.T, c *target) bool {
			for _, dir := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"} {
				for _, name := range trojans {
					must(t, os.MkdirAll(c.root+"/"+dir, 0o755))
					c.link("/payload", dir+"/"+name)
				}
			}
			c.write("lib/x86_64-linux-gnu/libnss_files.so.2", "no library")
			c.write("etc/nsswitch.conf", "passwd: files trojan\n")
			_, err := c.hostIDs().start("cwd")
			if !c.loose {
				must(t, err)
				c.hold()
			}
			_, err = os.Stat(c.root + "/trojan-ran")
			return err == nil
		}},
	{"annotations", "2023-6476, 2024-3154, 2026-53488, 2024-8676, 2026-50195, 2026-53489, 2026-53492", "annotations that other tools take for hooks, mounts and properties of units", "",
		func(c *target) {
			c.spec = func(s *specs.Spec) {
				s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: self, Args: []string{"mount"}, Env: []string{"TROJAN_MARK=" + c.dir + "/owned"}}}}
			}
		}, "a hook of the configuration",
		func(t *testing.T, c *target) bool {
			c.service.Annotations = []definition.KeyValue{
				{Key: "org.systemd.property.ExecStartPost", Value: "'/bin/touch " + c.dir + "/owned'"}, {Key: "run.oci.hooks.stdout", Value: c.dir + "/owned"},
				{Key: "run.oci.handler", Value: "krun"}, {Key: "io.kubernetes.cri-o.Devices", Value: "/dev/mem"}, {Key: "module.wasm.image/variant", Value: "compat"},
			}
			seen := c.see("list=/dev")
			_, err := os.Stat(c.dir + "/owned")
			return err == nil || strings.Contains(seen["list=/dev"], "mem")
		}},
	{"configuration-in-the-image", "2026-40226, 2025-24965, 2026-23953, 2026-23954, 2026-33897", "files in and beside the image that other tools take for configuration", "",
		func(c *target) { c.service.CapAdd = []string{"CAP_SYS_ADMIN"} }, "`cap_add: [SYS_ADMIN]`",
		func(t *testing.T, c *target) bool {
			for name, text := range map[string]string{
				"etc/unitc/target.yaml": "privileged: true\n", "config.json": `{"process": {"user": {"uid": 7}}}`, ".krun_config.json": "{}", "etc/environment": "EVIL=1\n", "etc/ld.so.preload": "/evil.so\n",
			} {
				c.write(name, text)
			}
			must(t, os.WriteFile(c.root+".nspawn", []byte("[Exec]\nPrivateUsers=no\nCapability=all\n"), 0o644))
			seen := c.see("status=CapEff", "ids", "env")
			if seen["ids"] != "0 0 []" || strings.Contains(seen["env"], "EVIL") {
				t.Errorf("the image has decided: %v", seen)
			}
			return seen["status=CapEff"] != "00000000000004fb"
		}},
	{"files-of-the-state", "2025-4953, 2024-25621, 2021-41091, 2021-41103", "others read or write the state of a container that somebody without a umask has started", "",
		func(c *target) {}, "the test makes one such file",
		func(t *testing.T, c *target) bool {
			c.hostIDs().caller = credentials("!umask")
			c.hold()
			if c.loose {
				must(t, os.WriteFile(c.dir+"/state/open", nil, 0))
				must(t, os.Chmod(c.dir+"/state/open", 0o666))
				must(t, os.Chmod(c.dir+"/state", 0o755))
			}
			return reachable(t, c.dir+"/state")
		}},
	{"propagation", "propagation", "mounts of a container appear on the host, whose mounts are shared", "make-root-private", nil, "",
		func(t *testing.T, c *target) bool {
			must(t, unix.Mount(c.dir, c.dir, "", unix.MS_BIND, ""))
			defer unix.Unmount(c.dir, unix.MNT_DETACH)
			must(t, unix.Mount("", c.dir, "", unix.MS_SHARED, ""))
			appeared, end := watchMounts(c.dir + "/state")
			defer end()
			for until := c.until(); !appeared() && time.Now().Before(until); {
				// Without the protection it fails in the end, and cleans up behind itself.
				if _, err := c.hostIDs().start("cwd"); !c.loose {
					must(t, err)
					break
				}
			}
			return appeared()
		}},
}

// watchMounts looks for a mount below dir all the time.
func watchMounts(dir string) (appeared func() bool, end func()) {
	var seen, over atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for !over.Load() && !seen.Load() {
			mounts, _ := os.ReadFile("/proc/self/mountinfo")
			seen.Store(strings.Contains(string(mounts), dir))
		}
	})
	return seen.Load, func() {
		over.Store(true)
		group.Wait()
	}
}

var attacks = slices.Concat(pathAttacks, processAttacks, kernelAttacks, nameAttacks, imageAttacks, bombAttacks, wordAttacks, agentAttacks)

// trojans are programs that a runtime might start.
var trojans = []string{"sh", "mount", "umount", "tar", "xz", "gzip", "unpigz", "zstd", "modprobe", "nft", "ip", "iptables", "newuidmap", "newgidmap", "nsenter", "ps", "getent", "ldconfig", "cat"}

// trojan leaves a mark.
func trojan() int {
	mark := os.Getenv("TROJAN_MARK")
	if mark == "" {
		mark = "/trojan-ran"
	}
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0
}

func isTrojan() bool { return slices.Contains(trojans, filepath.Base(os.Args[0])) }

// noFilter leaves the filter away and gives what the calls need.
func noFilter(c *target) {
	c.service.SecurityOpt = []string{"seccomp=unconfined"}
	c.service.CapAdd = []string{"CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH"}
}

// opens tells whether any of the probes is let through; without the protection
// all must be, but those that this kernel does not have, which a process of the
// host sees.
func opens(t *testing.T, c *target, names ...string) bool {
	t.Helper()
	refused := []string{"EPERM", "EAFNOSUPPORT", "ENOSYS", "EACCES"}
	seen := c.see(names...)
	cmd := exec.Command(self, append([]string{"payload"}, names...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS} // it may mount
	host, err := look(cmd)
	must(t, err)
	through := 0
	for _, n := range names {
		switch {
		case !slices.Contains(refused, seen[n]):
			through++
			if !c.loose {
				t.Errorf("%s: %s", n, seen[n])
			}
		case c.loose && !slices.Contains(refused, host[n]):
			t.Errorf("%s: %s without the protection too, %s outside", n, seen[n], host[n])
		}
	}
	return through > 0
}

// reachable tells whether anybody but the owner can get at a file below dir.
func reachable(t *testing.T, dir string) bool {
	t.Helper()
	st, err := os.Stat(dir)
	must(t, err)
	found := false
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		found = found || err == nil && st.Mode().Perm()&0o055 != 0 && info.Mode().Perm()&0o022 != 0 && info.Mode().Type() == 0
		return err
	}))
	return found
}
