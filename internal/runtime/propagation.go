// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// propagation are the words of mount(8) for mount_namespaces(7), "Shared
// subtrees". A tree that is bound with what is mounted below has one for all
// of it: parts of a tree that is attached nowhere cannot be named.
var propagation = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// kindOf is the propagation without MS_REC; what is not said is private.
func kindOf(flags uint64) uint64 {
	if flags == 0 {
		return unix.MS_PRIVATE
	}
	return flags &^ unix.MS_REC
}

// setPropagation is for a detached mount, which is still in the peer group of
// what it was cloned from: only so can it stay there (shared), or hear of it
// (slave).
func setPropagation(f *os.File, kind uint64, recursive bool) error {
	if protection.Off("make-root-private") {
		return nil
	}
	at := uint(unix.AT_EMPTY_PATH)
	if recursive {
		at |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Propagation: kind}
	if err := unix.MountSetattr(int(f.Fd()), "", at, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s propagation %#x: %w", f.Name(), kind, err)
	}
	return nil
}

// propagates tells whether a mount of the configuration is to hand on what is
// mounted inside.
func propagates(m specs.Mount) bool {
	o, err := parseOptions(m.Options)
	return err == nil && o.bind && kindOf(o.propagation) == unix.MS_SHARED
}

// checkPropagation refuses what would appear on the host, and stay there, when
// it is mounted below a place that the host shares.
func checkPropagation(l *Launch) error {
	var errs []error
	for i, m := range l.spec.Mounts {
		if !propagates(m) {
			continue
		}
		below := func(p string) bool {
			return strings.HasPrefix(path.Clean("/"+p)+"/", path.Clean("/"+m.Destination)+"/")
		}
		for j, other := range l.spec.Mounts[i+1:] {
			// An engine that asks for this has its own way of clearing up.
			if below(other.Destination) && l.plan.Root.Kind != plan.RootBundle {
				errs = append(errs, fmt.Errorf("mounts[%d] %s: it would be mounted on the host as well, below %s of mounts[%d], which is shared", i+1+j, other.Destination, m.Destination, i))
			}
		}
		for _, p := range slices.Concat(l.spec.Linux.MaskedPaths, l.spec.Linux.ReadonlyPaths) {
			if below(p) {
				errs = append(errs, fmt.Errorf("mounts[%d] %s: %s would be hidden or read-only on the host as well, for it is shared", i, m.Destination, p))
			}
		}
	}
	return errors.Join(errs...)
}

// mustPropagate refuses a definition's wish that could not come true. Engines
// look for themselves.
func (l *Launch) mustPropagate(m specs.Mount, o mountOptions) error {
	kind := kindOf(o.propagation)
	if l.plan.Root.Kind == plan.RootBundle || (kind != unix.MS_SHARED && kind != unix.MS_SLAVE) {
		return nil
	}
	fields, point, err := mountOf(m.Source)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if strings.HasPrefix(f, "shared:") || kind == unix.MS_SLAVE && strings.HasPrefix(f, "master:") {
			return nil
		}
	}
	return fmt.Errorf("%s is on the mount %s, which is private, so that nothing propagates: `mount --make-shared %s`, or drop the option", m.Source, point, point)
}

// mountOf gives the optional fields and the mount point of the mount that a
// path is on, as this thread sees it (proc_pid_mountinfo(5)).
func mountOf(path string) (optional []string, point string, err error) {
	proc, err := os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", err
	}
	defer proc.Close()
	return mountAt(proc, path)
}

func mountAt(proc *os.File, path string) (optional []string, point string, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st); err != nil {
		return nil, "", fmt.Errorf("statx %s: %w", path, err)
	}
	fd, err := unix.Openat(int(proc.Fd()), "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fmt.Errorf("opening mountinfo: %w", err)
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 6 && fields[0] == strconv.FormatUint(st.Mnt_id, 10) {
			end := slices.Index(fields, "-")
			return fields[6:max(end, 6)], fields[4], nil
		}
	}
	return nil, "", fmt.Errorf("%s is on no mount of mountinfo", path)
}

// joinsMount tells whether the mount namespace is another's. The root file
// system is then attached there, at the attach point, and entered by chroot(2):
// to pivot would take the root of everybody there away.
func joinsMount(l *Launch) bool { return l.joined(specs.MountNamespace) != "" }
func ownMount(l *Launch) bool   { return !joinsMount(l) }

// checkJoinedMount looks at the namespace that is to be joined: where its mounts
// propagate, the container's would appear elsewhere and stay there.
func checkJoinedMount(l *Launch) error {
	path := l.joined(specs.MountNamespace)
	if path == "" {
		return nil
	}
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the mount namespace: %w", err)
	}
	defer ns.Close()
	result := make(chan error)
	go func() {
		goruntime.LockOSThread() // for good: the thread ends in that namespace
		result <- privateAt(ns, l.opt.AttachPoint)
	}()
	return <-result
}

func privateAt(ns *os.File, attach string) error {
	proc, err := os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer proc.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare CLONE_FS: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns %s: %w", ns.Name(), err)
	}
	optional, point, err := mountAt(proc, attach)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the mount namespace %s does not have %s, where the root file system would be attached: %w", ns.Name(), attach, err)
	}
	for _, f := range optional {
		if strings.HasPrefix(f, "shared:") {
			return fmt.Errorf("the mount namespace %s shares its mount %s, so that the container's mounts would appear elsewhere: `mount --make-rprivate %s` there", ns.Name(), point, point)
		}
	}
	return err
}

// rootKind is how the mount of the root file system is attached. One that is
// shared becomes so in a peer group of its own, after pivot-root.
func (l *Launch) rootKind() uint64 {
	if kind := kindOf(propagation[l.spec.Linux.RootfsPropagation]); kind == unix.MS_SLAVE {
		return kind
	}
	return unix.MS_PRIVATE
}

func hasRootPropagation(l *Launch) bool { return l.spec.Linux.RootfsPropagation != "" }

func setRootPropagation(c *compiler) {
	flag, ok := propagation[c.spec.Linux.RootfsPropagation]
	if !ok {
		c.err = fmt.Errorf("unknown rootfsPropagation %q", c.spec.Linux.RootfsPropagation)
		return
	}
	if kind := kindOf(flag); kind == unix.MS_PRIVATE || kind == unix.MS_UNBINDABLE {
		flag = kind // every other mount is what its own options say by now
	}
	c.p.Call("mount", "dst=/ propagation="+c.spec.Linux.RootfsPropagation, unix.SYS_MOUNT, 0, c.p.Str("/"), 0, int(flag), 0)
}

// propagate is setPropagation of a mount that the child makes.
func (c *compiler) propagate(label string, mnt program.Reg, flags uint64) {
	attr := program.Keep(c.p, &unix.MountAttr{Propagation: kindOf(flags)})
	c.p.Call("mount_setattr", label+" propagation", unix.SYS_MOUNT_SETATTR, mnt, c.p.Str(""), unix.AT_EMPTY_PATH, attr, mountAttrSize)
}
