// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// mountOptions are parsed OCI mount options (runtime-spec config.md, "Linux
// mount options"): attributes of the mount, and what is left for the file
// system.
type mountOptions struct {
	set, clear   uint64 // MOUNT_ATTR_*
	rset, rclear uint64 // the same, recursively
	propagation  uint64 // MS_*, 0 = not given
	bind         bool
	recursive    bool
	idmap        bool
	idmapTree    bool // with what is mounted below
	copyUp       bool
	remount      bool
	data         []string
	source       string // what /proc/mounts shows in front; "" = none
}

// attributes are the options that are attributes of the mount: bits set and
// bits cleared. With an "r" in front they go down the tree.
var attributes = map[string][2]uint64{
	"ro": {unix.MOUNT_ATTR_RDONLY, 0}, "rw": {0, unix.MOUNT_ATTR_RDONLY},
	"nosuid": {unix.MOUNT_ATTR_NOSUID, 0}, "suid": {0, unix.MOUNT_ATTR_NOSUID},
	"nodev": {unix.MOUNT_ATTR_NODEV, 0}, "dev": {0, unix.MOUNT_ATTR_NODEV},
	"noexec": {unix.MOUNT_ATTR_NOEXEC, 0}, "exec": {0, unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {unix.MOUNT_ATTR_NODIRATIME, 0}, "diratime": {0, unix.MOUNT_ATTR_NODIRATIME},
	"noatime": {unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME}, "atime": {0, unix.MOUNT_ATTR__ATIME},
	"relatime": {unix.MOUNT_ATTR_RELATIME, unix.MOUNT_ATTR__ATIME}, "norelatime": {0, unix.MOUNT_ATTR__ATIME},
	"strictatime": {unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME}, "nostrictatime": {0, unix.MOUNT_ATTR__ATIME},
	"nosymfollow": {unix.MOUNT_ATTR_NOSYMFOLLOW, 0}, "symfollow": {0, unix.MOUNT_ATTR_NOSYMFOLLOW},
	"defaults": {0, 0},
}

// forUsers are options of mount(8) about who may mount what is in fstab(5), and
// when: what they bring along counts. silent and loud are about kernel messages,
// which here are part of an error; a version of inodes is the file system's own
// matter since Linux 6.2.
var forUsers = map[string]uint64{
	"auto": 0, "noauto": 0, "nouser": 0, "_netdev": 0, "silent": 0, "loud": 0, "iversion": 0, "noiversion": 0,
	"user": asUser | unix.MOUNT_ATTR_NOEXEC, "users": asUser | unix.MOUNT_ATTR_NOEXEC, "owner": asUser, "group": asUser,
}

const asUser = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

func isBind(options []string) bool {
	for _, o := range options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}

func parseOptions(options []string) (mountOptions, error) {
	var m mountOptions
	for _, o := range options {
		if bits, ok := attributes[o]; ok {
			m.set, m.clear = m.set&^bits[1]|bits[0], m.clear&^bits[0]|bits[1]
			continue
		}
		if bits, ok := attributes[strings.TrimPrefix(o, "r")]; ok && strings.HasPrefix(o, "r") {
			m.rset, m.rclear = m.rset&^bits[1]|bits[0], m.rclear&^bits[0]|bits[1]
			continue
		}
		if p, ok := propagation[o]; ok {
			m.propagation = p
			continue
		}
		if bits, ok := forUsers[o]; ok {
			m.set |= bits
			continue
		}
		switch o {
		case "bind":
			m.bind = true
		case "rbind":
			m.bind, m.recursive = true, true
		case "idmap":
			m.idmap = true
		case "ridmap":
			m.idmap, m.idmapTree = true, true
		case "tmpcopyup":
			m.copyUp = true
		case "remount":
			m.remount = true
		default:
			if strings.ContainsRune(o, 0) {
				return m, fmt.Errorf("option %q has a NUL byte", o)
			}
			if strings.HasPrefix(o, "X-mount.") && o != "X-mount.mkdir" {
				return m, fmt.Errorf("option %q is mount(8)'s own", o)
			}
			if !strings.HasPrefix(o, "x-") && !strings.HasPrefix(o, "X-") {
				m.data = append(m.data, o)
			}
		}
	}
	return m, nil
}

// apply sets the attributes of a detached bind mount.
func (m *mountOptions) apply(f *os.File) error {
	for _, a := range []struct {
		attr unix.MountAttr
		at   uint
	}{
		{unix.MountAttr{Attr_set: m.rset, Attr_clr: m.rclear}, unix.AT_RECURSIVE},
		{unix.MountAttr{Attr_set: m.set, Attr_clr: atimeClear(m.set, m.clear)}, 0},
	} {
		if a.attr.Attr_set == 0 && a.attr.Attr_clr == 0 {
			continue
		}
		if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|a.at, &a.attr); err != nil {
			return fmt.Errorf("mount_setattr set=%#x clear=%#x: %w", a.attr.Attr_set, a.attr.Attr_clr, err)
		}
	}
	return nil
}

// atimeClear adds the atime field to what is cleared whenever it is set: the
// kernel wants it so (mount_setattr(2), MOUNT_ATTR__ATIME).
func atimeClear(set, clear uint64) uint64 {
	if set&unix.MOUNT_ATTR__ATIME != 0 || clear&unix.MOUNT_ATTR__ATIME != 0 {
		clear |= unix.MOUNT_ATTR__ATIME
	}
	return clear
}

// mountAll makes the mounts of the specification in order. A cgroup file system waits
// until the process is in its cgroup namespace; only its place is opened here.
func mountAll(c *compiler) {
	// Whatever the caller's: others than root walk through mount points.
	c.p.Call("umask", "022", unix.SYS_UMASK, 0o022)
	for i, m := range c.spec.Mounts {
		if err := c.mount(i, m); err != nil {
			c.err = fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
			return
		}
	}
}

func (c *compiler) mount(i int, m specs.Mount) error {
	o, err := parseOptions(m.Options)
	if err != nil {
		return err
	}
	label := fmt.Sprintf("mounts[%d] dst=%s", i, m.Destination)
	if isCgroup(m) && newCgroup(c.Launch) {
		if slices.Contains(c.lateCgroups, i) {
			c.cgroups = append(c.cgroups, c.p.Reg()) // kept until mount-cgroup
			c.open(label, m.Destination, true, c.cgroups[len(c.cgroups)-1])
		}
		return nil
	}
	mark := c.p.Mark()
	dst := c.p.Reg()
	var noPlace program.Label
	c.noPlace = nil
	if slices.Contains(c.plan.Optional, m.Destination) {
		c.noPlace = &noPlace
	}
	if o.remount && !o.bind {
		c.open(label, m.Destination, true, dst)
		c.remount(label, dst, o)
	} else if image := c.images[m.Destination]; image != nil {
		c.open(label, m.Destination, image.dir, dst)
		c.attach(label, image.tree, dst)
		c.close(image.tree)
	} else if file, is := c.copied[i]; is {
		c.open(label, m.Destination, false, dst)
		c.attachCopy(label, file, o, dst)
	} else if f := c.sources[i]; f != nil {
		c.open(label, m.Destination, isDir(f), dst)
		if i >= c.firstLate() {
			c.attachLate(label, i, o, dst)
		} else {
			c.attachSource(label, int(f.Fd()), o, dst)
		}
	} else {
		c.open(label, m.Destination, true, dst)
		o.source = m.Source
		if m.Type == "tmpfs" {
			o.set &^= unix.MOUNT_ATTR_RDONLY // see readonlyTmpfs
		}
		mnt := c.newMount(label, fsType(m.Type), o)
		if m.Type == "mqueue" {
			c.labelQueues(label, mnt)
		}
		c.attach(label, mnt, dst)
		c.close(mnt)
	}
	c.close(dst)
	c.p.Here(&noPlace)
	c.noPlace = nil
	c.p.Release(mark)
	return nil
}

// remount changes what is mounted: attributes of the mount, and options of its
// file system.
func (c *compiler) remount(label string, dst program.Reg, o mountOptions) {
	if len(o.data) > 0 {
		mark := c.p.Mark()
		fs := c.p.Reg()
		c.p.Call("fspick", label, unix.SYS_FSPICK, dst, c.p.Str(""), unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC).Into(fs)
		c.configure(label, "", fs, o.data)
		c.p.Call("fsconfig", label+" reconfigure", unix.SYS_FSCONFIG, fs, unix.FSCONFIG_CMD_RECONFIGURE, 0, 0, 0)
		c.close(fs)
		c.p.Release(mark)
	}
	whole := unix.MountAttr{Attr_set: o.rset, Attr_clr: atimeClear(o.rset, o.rclear)}
	own := unix.MountAttr{Attr_set: o.set, Attr_clr: atimeClear(o.set, o.clear), Propagation: kindOf(o.propagation)}
	switch {
	case o.propagation == 0:
		own.Propagation = 0 // stays
	case o.propagation&unix.MS_REC != 0:
		whole.Propagation, own.Propagation = own.Propagation, 0
	}
	if whole != (unix.MountAttr{}) {
		c.p.Call("mount_setattr", label+" and below", unix.SYS_MOUNT_SETATTR, dst, c.p.Str(""), unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, program.Keep(c.p, &whole), mountAttrSize)
	}
	c.p.Call("mount_setattr", label, unix.SYS_MOUNT_SETATTR, dst, c.p.Str(""), unix.AT_EMPTY_PATH, program.Keep(c.p, &own), mountAttrSize)
}

func fsType(t string) string {
	if t == "cgroup" {
		return "cgroup2"
	}
	return t
}

func isDir(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// newMount compiles fsopen, fsconfig and fsmount.
func (c *compiler) newMount(label, kind string, o mountOptions) program.Reg {
	mnt := c.p.Reg()
	mark := c.p.Mark()
	fs := c.p.Reg()
	c.p.Call("fsopen", label+" type="+kind, unix.SYS_FSOPEN, c.p.Str(kind), unix.FSOPEN_CLOEXEC).Into(fs)
	if o.source != "" {
		c.p.Call("fsconfig", label+" source="+o.source, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_SET_STRING, c.p.Str("source"), c.p.Str(o.source), 0)
	}
	c.configure(label, kind, fs, append(c.contextOption(kind), o.data...))
	c.p.Call("fsconfig", label+" create", unix.SYS_FSCONFIG, fs, unix.FSCONFIG_CMD_CREATE, 0, 0, 0)
	c.p.Call("fsmount", label, unix.SYS_FSMOUNT, fs, unix.FSMOUNT_CLOEXEC, o.set|o.rset).Into(mnt)
	c.close(fs)
	if kindOf(o.propagation) != unix.MS_PRIVATE {
		c.propagate(label, mnt, o.propagation)
	}
	c.p.Release(mark)
	return mnt
}

// configure sets options of a file system.
func (c *compiler) configure(label, kind string, fs program.Reg, options []string) {
	for _, d := range options {
		key, value, has := strings.Cut(d, "=")
		if c.anchor != nil {
			value = c.mappedOwner(kind, key, value)
		}
		if has {
			c.p.Call("fsconfig", label+" "+d, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_SET_STRING, c.p.Str(key), c.p.Str(value), 0)
		} else {
			c.p.Call("fsconfig", label+" "+d, unix.SYS_FSCONFIG, fs, unix.FSCONFIG_SET_FLAG, c.p.Str(key), 0, 0)
		}
	}
}

// mappedOwner is a file system's option for the container's ids: the child makes
// its mounts with the host's.
func (c *compiler) mappedOwner(kind, key, value string) string {
	mappings := c.spec.Linux.GIDMappings
	switch {
	case kind == "tmpfs" && key == "uid":
		mappings = c.spec.Linux.UIDMappings
	case (kind == "tmpfs" || kind == "devpts") && key == "gid":
	default:
		return value
	}
	var id uint32
	if _, err := fmt.Sscanf(value, "%d", &id); err != nil {
		return value
	}
	host, err := hostID(mappings, id)
	if err != nil {
		c.err = err
	}
	return fmt.Sprint(host)
}

// attach moves a detached mount onto an opened place.
func (c *compiler) attach(label string, mnt any, dst program.Reg) *program.Call {
	return c.p.Call("move_mount", label, unix.SYS_MOVE_MOUNT, mnt, c.p.Str(""), dst, c.p.Str(""), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// open opens a place inside the rootfs, and makes what is missing: every
// component is opened below the root descriptor, or made by name in the
// directory just opened, so that a symlink can only lead to another place in
// the rootfs.
func (c *compiler) open(label, unsafePath string, dir bool, into program.Reg) {
	var done program.Label
	root := c.rootDir()
	how, size := c.how(unix.O_PATH|unix.O_CLOEXEC, resolve())
	clean := strings.TrimPrefix(path.Clean("/"+unsafePath), "/")
	var missing program.Label
	c.p.Call("openat2", label, unix.SYS_OPENAT2, root, c.p.Str(clean), how, size).Into(into).Skip(&missing, unix.ENOENT)
	c.p.Jump(&done)
	c.p.Here(&missing)

	mark := c.p.Mark()
	parent, child := c.p.Reg(), c.p.Reg()
	dirHow, _ := c.how(unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, resolve())
	// Without O_NOFOLLOW: with it the descriptor of a link would be given.
	newHow, _ := c.how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	c.p.Call("openat2", label+" rootfs", unix.SYS_OPENAT2, root, c.p.Str("."), dirHow, size).Into(parent)
	parts := strings.Split(clean, "/")
	for i, name := range parts {
		var absent, next program.Label
		prefix := strings.Join(parts[:i+1], "/")
		last := i == len(parts)-1
		if !last {
			c.p.Call("openat2", label+" at "+prefix, unix.SYS_OPENAT2, root, c.p.Str(prefix), dirHow, size).Into(child).Skip(&absent, unix.ENOENT)
			c.p.Jump(&next)
			c.p.Here(&absent)
		}
		kind, call := "mkdirat", uintptr(unix.SYS_MKDIRAT)
		args := []any{parent, c.p.Str(name), 0o755}
		if last && !dir {
			kind, call = "mknodat", unix.SYS_MKNODAT
			args = []any{parent, c.p.Str(name), unix.S_IFREG | 0o644, 0}
		}
		create := c.p.Call(kind, label+" creating "+prefix, call, args...)
		if c.noPlace == nil {
			create.Ignore(unix.EEXIST)
		} else {
			create.Ignore(unix.EEXIST, unix.EROFS)
		}
		created := c.p.Call("openat2", label+" created "+prefix, unix.SYS_OPENAT2, parent, c.p.Str(name), newHow, size).Into(child)
		if c.noPlace != nil {
			created.Skip(c.noPlace, unix.ENOENT, unix.ELOOP, unix.ENOTDIR)
		}
		c.p.Here(&next)
		c.close(parent)
		// parent = child: dup gives the value a second register.
		if !last {
			c.p.Call("fcntl", "F_DUPFD_CLOEXEC", unix.SYS_FCNTL, child, unix.F_DUPFD_CLOEXEC, 0).Into(parent)
			c.close(child)
		} else {
			c.p.Call("fcntl", "F_DUPFD_CLOEXEC", unix.SYS_FCNTL, child, unix.F_DUPFD_CLOEXEC, 0).Into(into)
			c.close(child)
		}
	}
	c.p.Release(mark)
	c.p.Here(&done)
}

// mountAttrSize is MOUNT_ATTR_SIZE_VER0 of linux/mount.h, in bytes.
const mountAttrSize = 32
