// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// openProcfs makes a procfs of the child's own. It is attached where attach-rootfs covers
// it, and goes away with the host's root: the end of the last descriptor of a mount that
// was never attached is waited for, a grace period of the kernel in the payload's exec
// (fs/namespace.c, dissolve_on_fput).
func openProcfs(c *compiler) {
	c.proc = c.newMount("private procfs", "proc", mountOptions{set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC})
	if leavesHostRoot(c.Launch) {
		c.p.Call("move_mount", "private procfs dst="+c.opt.AttachPoint, unix.SYS_MOVE_MOUNT,
			c.proc, c.p.Str(""), unix.AT_FDCWD, c.p.Str(c.opt.AttachPoint), unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
}

// writeProc writes a file of the private procfs. The descriptor is of procfs
// itself and the path may neither leave the mount nor follow a link, so the
// write cannot land elsewhere.
func (c *compiler) writeProc(file, value string) {
	mark := c.p.Mark()
	fd := c.p.Reg()
	if protection.Off("private-procfs") {
		how, size := c.how(unix.O_WRONLY|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT)
		c.p.Call("openat2", "/proc/"+file, unix.SYS_OPENAT2, c.rootDir(), c.p.Str("proc/"+file), how, size).Into(fd)
	} else {
		how, size := c.how(unix.O_WRONLY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_MAGICLINKS)
		c.p.Call("openat2", "/proc/"+file, unix.SYS_OPENAT2, c.proc, c.p.Str(file), how, size).Into(fd)
	}
	b := []byte(value)
	c.p.Call("write", fmt.Sprintf("/proc/%s %q", file, value), unix.SYS_WRITE, fd, c.p.Bytes(b), len(b)).Want(uintptr(len(b)))
	c.close(fd)
	c.p.Release(mark)
}

// compareProc reads a file of procfs back, which a NUL byte may end.
func (c *compiler) compareProc(file, want string) {
	if protection.Off("private-procfs") {
		return
	}
	mark := c.p.Mark()
	fd := c.p.Reg()
	how, size := c.how(unix.O_RDONLY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_MAGICLINKS)
	c.p.Call("openat2", "/proc/"+file, unix.SYS_OPENAT2, c.proc, c.p.Str(file), how, size).Into(fd)
	got := make([]byte, len(want)+1)
	c.p.Call("read", "/proc/"+file, unix.SYS_READ, fd, c.p.Bytes(got), len(got))
	c.p.Compare("read", fmt.Sprintf("/proc/%s must say %q", file, want), got, []byte(want+"\x00"))
	c.close(fd)
	c.p.Release(mark)
}

func hasSysctls(l *Launch) bool { return len(l.spec.Linux.Sysctl) > 0 }

func setSysctls(c *compiler) {
	var keys []string
	for k := range c.spec.Linux.Sysctl {
		keys = append(keys, k)
	}
	slices.Sort(keys) // the same plan gives the same program
	for _, k := range keys {
		if (strings.ContainsAny(k, "/\x00") || strings.Contains(k, "..")) && !protection.Off("sysctl-names") {
			c.err = fmt.Errorf("sysctl %q: not a name", k)
			return
		}
		c.writeProc("sys/"+strings.ReplaceAll(k, ".", "/"), c.spec.Linux.Sysctl[k])
	}
}

func hasOOMScore(l *Launch) bool { return l.spec.Process.OOMScoreAdj != nil }

func setOOMScore(c *compiler) {
	c.writeProc("self/oom_score_adj", fmt.Sprint(*c.spec.Process.OOMScoreAdj))
}

// mountScratch makes a small read-only tmpfs with what hides kernel paths, an
// empty directory and a null device that nobody else has touched, and with the
// files of which the payload gets copies. It is attached below the rootfs, because only
// attached mounts can be cloned before Linux 6.15, and goes away with the host's root.
func mountScratch(c *compiler) {
	scratch := c.newMount("scratch", "tmpfs", mountOptions{
		set:  unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
		data: []string{"mode=0555", fmt.Sprintf("size=%dk", scratchSize(c.copies)), fmt.Sprintf("nr_inodes=%d", 4+len(c.copies))},
	})
	c.null, c.empty = c.p.Reg(), c.p.Reg()
	c.p.Call("mkdirat", "scratch/empty", unix.SYS_MKDIRAT, scratch, c.p.Str("empty"), 0o555)
	if !c.opt.InUserNamespace {
		c.p.Call("mknodat", "scratch/null", unix.SYS_MKNODAT, scratch, c.p.Str("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
		c.p.Call("fchmodat", "scratch/null", unix.SYS_FCHMODAT, scratch, c.p.Str("null"), 0o666)
	}
	c.fillCopies(scratch)
	attr := program.Keep(c.p, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	c.p.Call("mount_setattr", "scratch MOUNT_ATTR_RDONLY", unix.SYS_MOUNT_SETATTR, scratch, c.p.Str(""), unix.AT_EMPTY_PATH, attr, mountAttrSize)
	c.p.Call("move_mount", "scratch dst="+c.opt.AttachPoint, unix.SYS_MOVE_MOUNT,
		scratch, c.p.Str(""), unix.AT_FDCWD, c.p.Str(c.opt.AttachPoint), unix.MOVE_MOUNT_F_EMPTY_PATH)
	c.p.Call("openat", "scratch/empty", unix.SYS_OPENAT, scratch, c.p.Str("empty"), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0).Into(c.empty)
	c.openCopies(scratch)
	if c.opt.InUserNamespace {
		// Opened while "/" is still the host's: no image has a say in what it is.
		c.p.Call("openat", "/dev/null", unix.SYS_OPENAT, unix.AT_FDCWD, c.p.Str("/dev/null"), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0).Into(c.null)
		return
	}
	c.p.Call("openat", "scratch/null", unix.SYS_OPENAT, scratch, c.p.Str("null"), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0).Into(c.null)
}

func hasMaskedPaths(l *Launch) bool { return len(l.spec.Linux.MaskedPaths) > 0 }

// maskPaths hides directories under the empty directory and files under the
// null device. What is absent needs no hiding. Which of the two a path is is
// asked first: trying costs a detached mount that fits nowhere, and closing one
// waits for a grace period of the kernel (fs/namespace.c, dissolve_on_fput).
func maskPaths(c *compiler) {
	if protection.Off("own-null") {
		how, size := c.how(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_IN_ROOT)
		c.p.Call("openat2", "dev/null", unix.SYS_OPENAT2, c.rootDir(), c.p.Str("dev/null"), how, size).Into(c.null)
	}
	for _, p := range c.spec.Linux.MaskedPaths {
		var absent, isFile, done program.Label
		mark := c.p.Mark()
		dst, src, dir := c.p.Reg(), c.p.Reg(), c.p.Reg()
		c.lookUp(p, dst, &absent)
		if c.opt.InUserNamespace {
			// Into some directories root alone may look; their names all may.
			how, size := c.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolve())
			c.p.Call("openat2", p+" O_DIRECTORY", unix.SYS_OPENAT2, c.rootDir(), c.p.Str(relative(p)), how, size).Into(dir).Skip(&isFile, unix.ENOTDIR)
		} else {
			c.p.Call("openat", p+"/.", unix.SYS_OPENAT, dst, c.p.Str("."), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0).Into(dir).Skip(&isFile, unix.ENOTDIR)
		}
		c.close(dir)
		c.clone(c.empty, src)
		c.attach("mask "+p, src, dst)
		c.p.Jump(&done)
		c.p.Here(&isFile)
		c.clone(c.null, src)
		c.attach("mask "+p, src, dst)
		c.p.Here(&done)
		c.close(src)
		c.close(dst)
		c.p.Here(&absent)
		c.p.Release(mark)
	}
}

// relative is a path as it is below the root file system.
func relative(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// lookUp opens an existing place; where there is none it goes on at absent.
func (c *compiler) lookUp(p string, into program.Reg, absent *program.Label) {
	how, size := c.how(unix.O_PATH|unix.O_CLOEXEC, resolve())
	c.p.Call("openat2", p, unix.SYS_OPENAT2, c.rootDir(), c.p.Str(relative(p)), how, size).Into(into).Skip(absent, unix.ENOENT, unix.ENOTDIR)
}

func (c *compiler) clone(src any, into program.Reg) {
	c.p.Call("open_tree", "OPEN_TREE_CLONE", unix.SYS_OPEN_TREE, src, c.p.Str(""),
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH).Into(into)
}

// readonlyTmpfs makes those tmpfs read-only that are to be so. A /dev, as engines
// ask for it with a read-only root, had to take mount points and nodes first.
func (c *compiler) readonlyTmpfs() {
	attr := program.Keep(c.p, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	for i, m := range c.spec.Mounts {
		o, err := parseOptions(m.Options)
		if err != nil || m.Type != "tmpfs" || o.set&unix.MOUNT_ATTR_RDONLY == 0 || c.sources[i] != nil || o.remount {
			continue
		}
		var absent program.Label
		mark := c.p.Mark()
		dst := c.p.Reg()
		c.lookUp(m.Destination, dst, &absent)
		c.p.Call("mount_setattr", m.Destination+" MOUNT_ATTR_RDONLY", unix.SYS_MOUNT_SETATTR, dst, c.p.Str(""), unix.AT_EMPTY_PATH, attr, mountAttrSize)
		c.close(dst)
		c.p.Here(&absent)
		c.p.Release(mark)
	}
}

// readonlyPaths binds each path over itself, read-only.
func readonlyPaths(c *compiler) {
	c.readonlyTmpfs()
	for _, p := range c.spec.Linux.ReadonlyPaths {
		if !inLateCgroup(c.Launch, p) {
			c.readonlyPath(p)
		}
	}
}

func (c *compiler) readonlyPath(p string) {
	attr := program.Keep(c.p, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	var absent program.Label
	mark := c.p.Mark()
	dst, src := c.p.Reg(), c.p.Reg()
	c.lookUp(p, dst, &absent)
	c.p.Call("open_tree", p+" OPEN_TREE_CLONE", unix.SYS_OPEN_TREE, dst, c.p.Str(""),
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE).Into(src)
	c.p.Call("mount_setattr", p+" MOUNT_ATTR_RDONLY", unix.SYS_MOUNT_SETATTR, src, c.p.Str(""), unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr, mountAttrSize)
	c.attach("read-only "+p, src, dst)
	c.close(src)
	c.close(dst)
	c.p.Here(&absent)
	c.p.Release(mark)
}
