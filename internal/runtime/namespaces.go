// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

type namespaceKind struct {
	kind specs.LinuxNamespaceType
	flag int
	file string // below /proc/PID/ns
}

// namespaceFlag are the namespaces that the child is cloned into or joins, in
// a fixed order. Mount and PID namespaces are always the child's own doing;
// the cgroup namespace is unshared later, from inside the payload's cgroup.
var namespaceFlag = []namespaceKind{
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
	if joinsMount(l) {
		flags = 0
	}
	for _, n := range namespaceFlag {
		if l.hasNew(n.kind) && !(l.wantsAnchor() && anchored(n.kind)) && !protection.Off("new-"+n.file) {
			flags |= uint64(n.flag)
		}
	}
	return flags
}

func (l *Launch) wantsAnchor() bool {
	return l.hasNew(specs.UserNamespace) || l.joined(specs.UserNamespace) != ""
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

// joinedLater are the namespaces that a process can join but that no payload
// is born into here.
var joinedLater = []namespaceKind{
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP, "cgroup"},
	{specs.TimeNamespace, unix.CLONE_NEWTIME, "time"},
}

func joinNamespaces(c *compiler) {
	for _, n := range namespaceFlag {
		if c.anchor != nil && anchored(n.kind) && c.hasNew(n.kind) {
			c.setns(int(c.anchor.ns[n.file].Fd()), n.flag, n.file)
		}
	}
	for _, f := range append(joinedLater, namespaceFlag...) {
		path := c.joined(f.kind)
		// The PID namespace is the one that the child is born into (Start).
		if path == "" || f.kind == specs.PIDNamespace {
			continue
		}
		file, err := os.OpenFile(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			c.err = fmt.Errorf("opening the %s namespace: %w", f.kind, err)
			return
		}
		c.setns(int(c.own(file).Fd()), f.flag, path)
	}
}

// joined is the path of a namespace to be joined, "" = none.
func (l *Launch) joined(t specs.LinuxNamespaceType) string {
	for _, n := range l.spec.Linux.Namespaces {
		if n.Type == t {
			return n.Path
		}
	}
	return ""
}

// inPIDNamespace runs fork on a thread whose children are born in the PID
// namespace at path: a process cannot change its own (pid_namespaces(7)).
func inPIDNamespace(path string, fork func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the pid namespace: %w", err)
	}
	defer target.Close()
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/pid_for_children")
	if err != nil {
		return fmt.Errorf("opening this process's pid namespace: %w", err)
	}
	defer own.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("setns %s: %w", path, err)
	}
	err = fork()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWPID); back != nil {
		return errors.Join(err, fmt.Errorf("setns back to this process's pid namespace: %w", back))
	}
	return err
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
	return (l.hasNew(specs.UTSNamespace) || l.joined(specs.UTSNamespace) != "") && (l.spec.Hostname != "" || l.spec.Domainname != "")
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

// verifyNamespaces compares each new namespace's link with the helper's own,
// and each joined one's with what was to be joined.
func verifyNamespaces(c *compiler) {
	for _, n := range slices.Concat([]namespaceKind{{specs.UserNamespace, 0, "user"}}, joinedLater, namespaceFlag) {
		path := c.joined(n.kind)
		if path == "" && !c.hasNew(n.kind) {
			continue
		}
		other, err := namespaceName(n.file, path)
		if err != nil {
			c.err = err
			return
		}
		got, want := make([]byte, 64), make([]byte, 64)
		copy(want, other)
		c.p.Call("readlinkat", "proc/self/ns/"+n.file, unix.SYS_READLINKAT, c.proc, c.p.Str("self/ns/"+n.file), c.p.Bytes(got), len(got))
		if path == "" {
			c.p.Differ("compare", n.file+" namespace with the host's", got, want)
		} else {
			c.p.Compare("compare", n.file+" namespace with "+path, got, want)
		}
	}
}

// namespaceName is "net:[4026531840]", of the namespace at path or, without
// one, of this process's own.
func namespaceName(file, path string) (string, error) {
	if path == "" {
		// Half of what stat(2) takes, which makes a file for it.
		name, err := os.Readlink("/proc/self/ns/" + file)
		if err != nil {
			return "", fmt.Errorf("reading this process's %s namespace: %w", file, err)
		}
		return name, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("reading the %s namespace %s: %w", file, path, err)
	}
	return fmt.Sprintf("%s:[%d]", file, st.Ino), nil
}

// anchor is a process that does nothing but hold the namespaces that belong to
// the payload's user namespace until the child has joined them.
type anchor struct {
	child   *program.Child // nil = it has ended
	user    *os.File
	ns      map[string]*os.File
	base    uint32 // host id of the container's root
	baseGID uint32
}

func (a *anchor) close() {
	if a == nil {
		return
	}
	a.end()
	if a.user != nil {
		a.user.Close()
	}
	for _, f := range a.ns {
		f.Close()
	}
}

// end lets the anchor go, and waits until it has.
func (a *anchor) end() {
	if a != nil && a.child != nil {
		a.child.Close()
		_, _ = waitFor(a.child.PID)
		a.child = nil
	}
}

// createUserNamespace clones the anchor, writes its id maps and keeps its
// namespaces open. A user namespace cannot be unshared by a process with
// threads, and the maps can only be written from outside. One that is joined by
// path is entered by the anchor, whose maps tell which ids it has.
func createUserNamespace(l *Launch) error {
	path := l.joined(specs.UserNamespace)
	if !l.wantsAnchor() {
		return nil
	}
	if path == "" {
		if l.anchor == nil {
			child, err := l.forkAnchor()
			if err != nil {
				return err
			}
			l.anchor = &anchor{child: child}
		}
		child := l.anchor.child
		if err := writeMaps(child.PID, l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings); err != nil {
			return err
		}
		return l.openAnchor(child.PID)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the user namespace: %w", err)
	}
	defer f.Close()
	p := program.New()
	p.Step("hold-namespaces", exitUser)
	p.Call("setns", path, unix.SYS_SETNS, int(f.Fd()), unix.CLONE_NEWUSER)
	p.Call("unshare", "namespaces that belong to it", unix.SYS_UNSHARE, l.ownedNamespaces())
	p.Sync("anchor")
	return hold(p, 0, func(child *program.Child) error {
		if err := child.AwaitSync(); err != nil {
			return err
		}
		for _, m := range []struct {
			file string
			list *[]specs.LinuxIDMapping
		}{{"uid_map", &l.spec.Linux.UIDMappings}, {"gid_map", &l.spec.Linux.GIDMappings}} {
			has, err := readMap(child.PID, m.file)
			if err != nil {
				return err
			}
			if len(*m.list) > 0 && !sameMapping(*m.list, has) {
				return fmt.Errorf("%s of the user namespace %s is %v, and the configuration has %v", m.file, path, has, *m.list)
			}
			*m.list = has
		}
		l.anchor = &anchor{}
		if err := l.openAnchor(child.PID); err != nil {
			return err
		}
		return l.openNamespaces(child.PID)
	})
}

// forkAnchor clones an anchor in a user namespace of its own. A network namespace
// takes as long to make as all other preparations: the anchor makes it while they
// go on (openAnchored).
func (l *Launch) forkAnchor() (*program.Child, error) {
	p := program.New()
	p.Step("hold-namespaces", exitUser)
	p.Call("unshare", "namespaces that belong to it", unix.SYS_UNSHARE, l.ownedNamespaces())
	p.Sync("anchor")
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 0)
	return p.Fork(program.ForkOptions{Flags: unix.CLONE_NEWUSER, CgroupDir: -1, Shared: true, Owner: l.owner()})
}

// owner is the container's own root: were its namespace root's, one container could use
// up what the kernel grants to root of the host, and so to all containers and to systemd.
// In a user's namespace all is the user's in any case.
func (l *Launch) owner() program.Owner {
	uid, uidErr := hostID(l.spec.Linux.UIDMappings, 0)
	gid, gidErr := hostID(l.spec.Linux.GIDMappings, 0)
	if l.opt.InUserNamespace || os.Geteuid() != 0 || uidErr != nil || gidErr != nil || protection.Off("own-counts") {
		return program.Owner{}
	}
	return program.Owner{UID: uid, GID: gid}
}

// ownedNamespaces are the flags of those that belong to the user namespace.
func (l *Launch) ownedNamespaces() (flags int) {
	for _, n := range namespaceFlag {
		if anchored(n.kind) && l.hasNew(n.kind) {
			flags |= n.flag
		}
	}
	return flags
}

// openAnchored waits until the anchor has made its namespaces.
func openAnchored(l *Launch) error {
	if l.anchor == nil || l.anchor.child == nil {
		return nil
	}
	if err := l.anchor.child.AwaitSync(); err != nil {
		var op *program.OpError
		if errors.As(err, &op) {
			err = fmt.Errorf("%s: %w", op.What, op.Err)
		}
		return &StepError{Step: "create-user-namespace", Exit: exitUser, Err: err}
	}
	if err := l.openNamespaces(l.anchor.child.PID); err != nil {
		return err
	}
	// It is reaped when it has had the time to end (Start).
	l.anchor.child.Close()
	return nil
}

// hold runs do while a child that has done p waits in its namespaces.
func hold(p *program.Program, flags uint64, do func(*program.Child) error) error {
	p.AwaitGate("read gate")
	p.Call("exit", "", unix.SYS_EXIT_GROUP, 0)
	child, err := p.Fork(program.ForkOptions{Flags: flags, CgroupDir: -1})
	if err != nil {
		return err
	}
	err = do(child)
	child.Close()
	_, _ = waitFor(child.PID)
	return err
}

// mappingNamespace is a user namespace that nobody lives in: it only carries
// the id mapping of a mount (mount_setattr(2), userns_fd).
func mappingNamespace(uids, gids []specs.LinuxIDMapping) (ns *os.File, err error) {
	p := program.New()
	p.Step("hold-mapping", exitUser)
	err = hold(p, unix.CLONE_NEWUSER, func(child *program.Child) error {
		if err := writeMaps(child.PID, uids, gids); err != nil {
			return err
		}
		ns, err = os.Open("/proc/" + strconv.Itoa(child.PID) + "/ns/user")
		return err
	})
	return ns, err
}

func writeMaps(pid int, uids, gids []specs.LinuxIDMapping) error {
	for file, m := range map[string][]specs.LinuxIDMapping{"uid_map": uids, "gid_map": gids} {
		var b strings.Builder
		for _, e := range m {
			fmt.Fprintf(&b, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
		}
		if err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/"+file, []byte(b.String()), 0); err != nil {
			return fmt.Errorf("writing %s %q: %w", file, strings.TrimSpace(b.String()), err)
		}
	}
	return nil
}

func readMap(pid int, file string) ([]specs.LinuxIDMapping, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the user namespace: %w", file, err)
	}
	var m []specs.LinuxIDMapping
	for line := range strings.Lines(string(data)) {
		var e specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &e.ContainerID, &e.HostID, &e.Size); err != nil {
			return nil, fmt.Errorf("reading %s of the user namespace: %q: %w", file, line, err)
		}
		m = append(m, e)
	}
	return m, nil
}

// sameMapping compares in the order of the container's ids: the kernel sorts
// long lists.
func sameMapping(a, b []specs.LinuxIDMapping) bool {
	order := func(list []specs.LinuxIDMapping) []specs.LinuxIDMapping {
		return slices.SortedFunc(slices.Values(list), func(x, y specs.LinuxIDMapping) int { return cmp.Compare(x.ContainerID, y.ContainerID) })
	}
	return slices.Equal(order(a), order(b))
}

func (l *Launch) openAnchor(pid int) error {
	a := l.anchor
	var err error
	if a.base, err = hostID(l.spec.Linux.UIDMappings, 0); err != nil {
		return err
	}
	if a.baseGID, err = hostID(l.spec.Linux.GIDMappings, 0); err != nil {
		return err
	}
	if a.user, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user"); err != nil {
		return fmt.Errorf("opening the user namespace: %w", err)
	}
	return nil
}

func (l *Launch) openNamespaces(pid int) (err error) {
	l.anchor.ns = map[string]*os.File{}
	for _, n := range namespaceFlag {
		if l.ownedNamespaces()&n.flag != 0 {
			if l.anchor.ns[n.file], err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/" + n.file); err != nil {
				return fmt.Errorf("opening the %s namespace: %w", n.file, err)
			}
		}
	}
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
