// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// namespaceFlag are the namespaces that the child is cloned into or joins, in
// a fixed order. Mount and PID namespaces are always the child's own doing;
// the cgroup namespace is unshared later, from inside the payload's cgroup.
var namespaceFlag = []struct {
	kind specs.LinuxNamespaceType
	flag int
	file string // below /proc/PID/ns
}{
	{specs.NetworkNamespace, unix.CLONE_NEWNET, "net"},
	{specs.IPCNamespace, unix.CLONE_NEWIPC, "ipc"},
	{specs.UTSNamespace, unix.CLONE_NEWUTS, "uts"},
	{specs.PIDNamespace, unix.CLONE_NEWPID, "pid"},
	{specs.MountNamespace, unix.CLONE_NEWNS, "mnt"},
}

// cloneFlags are the namespaces that the child is born into. With a user
// namespace the anchor has made those that must belong to it.
func (l *Launch) cloneFlags() uint64 {
	flags := uint64(unix.CLONE_NEWNS)
	for _, n := range namespaceFlag {
		if l.hasNew(n.kind) && !(l.anchor != nil && anchored(n.kind)) {
			flags |= uint64(n.flag)
		}
	}
	return flags
}

// anchored namespaces belong to the user namespace, so that the payload's
// capabilities count in them: binding to low ports, configuring its own
// interfaces. The mount and PID namespaces stay the host's: a payload cannot
// mount in the one whatever it gains, and the kernel lets the host mount
// procfs for the other.
func anchored(t specs.LinuxNamespaceType) bool {
	return t == specs.NetworkNamespace || t == specs.IPCNamespace || t == specs.UTSNamespace
}

func usesUserNamespace(l *Launch) bool { return l.anchor != nil }
func newNetwork(l *Launch) bool        { return l.hasNew(specs.NetworkNamespace) }
func newCgroup(l *Launch) bool         { return l.hasNew(specs.CgroupNamespace) }
func gated(l *Launch) bool             { return l.opt.Gated }

func joinsNamespaces(l *Launch) bool {
	if l.anchor != nil {
		return true
	}
	for _, n := range l.spec.Linux.Namespaces {
		if n.Path != "" {
			return true
		}
	}
	return false
}

func joinNamespaces(c *compiler) {
	for _, n := range namespaceFlag {
		if c.anchor != nil && anchored(n.kind) && c.hasNew(n.kind) {
			c.setns(int(c.anchor.ns[n.file].Fd()), n.flag, n.file)
		}
	}
	for _, n := range c.spec.Linux.Namespaces {
		if n.Path == "" || n.Type == specs.UserNamespace {
			continue
		}
		for _, f := range namespaceFlag {
			if f.kind == n.Type {
				file, err := os.OpenFile(n.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					c.err = fmt.Errorf("opening the %s namespace: %w", n.Type, err)
					return
				}
				c.setns(int(c.own(file).Fd()), f.flag, n.Path)
			}
		}
	}
}

func (c *compiler) setns(fd, flag int, what string) {
	c.p.Call("setns", what, unix.SYS_SETNS, fd, flag)
}

func makeRootPrivate(c *compiler) {
	c.p.Call("mount", "dst=/ flags=MS_REC|MS_PRIVATE", unix.SYS_MOUNT, 0, c.p.Str("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
}

// bringUpLoopback sets IFF_UP on "lo" (netdevice(7)).
func bringUpLoopback(c *compiler) {
	mark := c.p.Mark()
	fd := c.p.Reg()
	c.p.Call("socket", "AF_INET SOCK_DGRAM", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(fd)
	ifreq := make([]byte, 40) // struct ifreq: name[16], then the union
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_LOOPBACK
	c.p.Call("ioctl", "SIOCSIFFLAGS lo up", unix.SYS_IOCTL, fd, unix.SIOCSIFFLAGS, c.p.Bytes(ifreq))
	c.close(fd)
	c.p.Release(mark)
}

func (c *compiler) close(r program.Reg) { c.p.Call("close", "", unix.SYS_CLOSE, r) }

func hasHostname(l *Launch) bool {
	return l.hasNew(specs.UTSNamespace) && (l.spec.Hostname != "" || l.spec.Domainname != "")
}

func setHostname(c *compiler) {
	if h := c.spec.Hostname; h != "" {
		c.p.Call("sethostname", h, unix.SYS_SETHOSTNAME, c.p.Str(h), len(h))
	}
	if d := c.spec.Domainname; d != "" {
		c.p.Call("setdomainname", d, unix.SYS_SETDOMAINNAME, c.p.Str(d), len(d))
	}
}

func awaitCgroup(c *compiler) { c.p.AwaitGate("read gate") }

func unshareCgroup(c *compiler) {
	c.p.Call("unshare", "CLONE_NEWCGROUP", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
}

// verifyNamespaces compares each new namespace's link with the helper's own.
func verifyNamespaces(c *compiler) {
	kinds := append([]struct {
		kind specs.LinuxNamespaceType
		flag int
		file string
	}{{specs.UserNamespace, 0, "user"}, {specs.CgroupNamespace, 0, "cgroup"}, {specs.TimeNamespace, 0, "time"}}, namespaceFlag...)
	for _, n := range kinds {
		if !c.hasNew(n.kind) {
			continue
		}
		host, err := os.Readlink("/proc/self/ns/" + n.file)
		if err != nil {
			c.err = fmt.Errorf("reading this process's %s namespace: %w", n.file, err)
			return
		}
		got, want := make([]byte, 64), make([]byte, 64)
		copy(want, host)
		c.p.Call("readlinkat", "proc/self/ns/"+n.file, unix.SYS_READLINKAT, c.proc, c.p.Str("self/ns/"+n.file), c.p.Bytes(got), len(got))
		c.p.Differ("compare", n.file+" namespace with the host's", got, want)
	}
}

// anchor is a process that does nothing but hold the namespaces that belong to
// the payload's user namespace until the child has joined them.
type anchor struct {
	user    *os.File
	ns      map[string]*os.File
	base    uint32 // host id of the container's root
	baseGID uint32
}

func (a *anchor) close() {
	if a == nil {
		return
	}
	a.user.Close()
	for _, f := range a.ns {
		f.Close()
	}
}

// createUserNamespace clones the anchor, writes its id maps and keeps its
// namespaces open. A user namespace cannot be unshared by a process with
// threads, and the maps can only be written from outside.
func createUserNamespace(l *Launch) error {
	if !l.hasNew(specs.UserNamespace) {
		return nil
	}
	p := program.New()
	p.Step("hold-namespaces", exitUser)
	p.AwaitGate("read gate")
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 0)
	flags := uint64(unix.CLONE_NEWUSER)
	for _, n := range namespaceFlag {
		if anchored(n.kind) && l.hasNew(n.kind) {
			flags |= uint64(n.flag)
		}
	}
	child, err := p.Fork(program.ForkOptions{Flags: flags, CgroupDir: -1})
	if err != nil {
		return err
	}
	defer func() {
		child.Close()
		var ws unix.WaitStatus
		for {
			if _, err := unix.Wait4(child.PID, &ws, 0, nil); err != unix.EINTR {
				return
			}
		}
	}()
	return l.openAnchor(child.PID, flags)
}

func (l *Launch) openAnchor(pid int, flags uint64) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	for file, m := range map[string][]specs.LinuxIDMapping{"uid_map": l.spec.Linux.UIDMappings, "gid_map": l.spec.Linux.GIDMappings} {
		var b strings.Builder
		for _, e := range m {
			fmt.Fprintf(&b, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
		}
		if err := os.WriteFile(dir+file, []byte(b.String()), 0); err != nil {
			return fmt.Errorf("writing %s %q: %w", file, strings.TrimSpace(b.String()), err)
		}
	}
	a := &anchor{ns: map[string]*os.File{}}
	var err error
	if a.base, err = hostID(l.spec.Linux.UIDMappings, 0); err != nil {
		return err
	}
	if a.baseGID, err = hostID(l.spec.Linux.GIDMappings, 0); err != nil {
		return err
	}
	if a.user, err = os.Open(dir + "ns/user"); err != nil {
		return fmt.Errorf("opening the user namespace: %w", err)
	}
	for _, n := range namespaceFlag {
		if flags&uint64(n.flag) != 0 {
			if a.ns[n.file], err = os.Open(dir + "ns/" + n.file); err != nil {
				a.close()
				return fmt.Errorf("opening the %s namespace: %w", n.file, err)
			}
		}
	}
	l.anchor = a
	return nil
}

// hostID is where the mappings put a container's id.
func hostID(maps []specs.LinuxIDMapping, id uint32) (uint32, error) {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), nil
		}
	}
	return 0, fmt.Errorf("id %d of the container is not mapped in its user namespace", id)
}
