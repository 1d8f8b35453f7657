// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// Files that the payload's root may change and that begin as the host has written them:
// /etc/hosts, /etc/hostname and /etc/resolv.conf. What it writes stays in memory, within
// bounds, and ends with it.

// copyRoom is what all of them may grow by, in bytes.
const copyRoom = 64 << 10

func hasScratch(l *Launch) bool { return hasMaskedPaths(l) || len(l.copies) > 0 }

// scratchSize is that of the file system in which they are, in KiB.
func scratchSize(copies map[int][]byte) int {
	if len(copies) == 0 {
		return 4
	}
	size := copyRoom
	for _, data := range copies {
		size += len(data)
	}
	return (size + 1023) / 1024
}

// fillCopies writes them; they belong to the container's root, as all that the child makes.
func (c *compiler) fillCopies(dir program.Reg) {
	for _, i := range slices.Sorted(maps.Keys(c.copies)) {
		mark := c.p.Mark()
		fd, data := c.p.Reg(), c.copies[i]
		name := strconv.Itoa(i)
		c.p.Call("openat", "scratch/"+name, unix.SYS_OPENAT, dir, c.p.Str(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644).Into(fd)
		c.p.Call("fchmod", "scratch/"+name, unix.SYS_FCHMOD, fd, 0o644) // whatever the umask
		if len(data) > 0 {
			c.p.Call("write", "scratch/"+name, unix.SYS_WRITE, fd, c.p.Bytes(data), len(data)).Want(uintptr(len(data)))
		}
		c.close(fd)
		c.p.Release(mark)
	}
}

// openCopies comes behind the scratch's attachment: before Linux 6.15 only what is attached
// can be cloned.
func (c *compiler) openCopies(dir program.Reg) {
	c.copied = map[int]program.Reg{}
	for _, i := range slices.Sorted(maps.Keys(c.copies)) {
		fd, name := c.p.Reg(), strconv.Itoa(i)
		c.p.Call("openat", "scratch/"+name, unix.SYS_OPENAT, dir, c.p.Str(name), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0).Into(fd)
		c.copied[i] = fd
	}
}

func (c *compiler) attachCopy(label string, file program.Reg, o mountOptions, dst program.Reg) {
	mnt := c.p.Reg()
	c.clone(file, mnt)
	attr := program.Keep(c.p, &unix.MountAttr{Attr_set: o.set, Attr_clr: unix.MOUNT_ATTR_RDONLY &^ o.set, Propagation: unix.MS_PRIVATE})
	c.p.Call("mount_setattr", label, unix.SYS_MOUNT_SETATTR, mnt, c.p.Str(""), unix.AT_EMPTY_PATH, attr, mountAttrSize)
	c.attach(label, mnt, dst)
	c.close(mnt)
	c.close(file)
}
