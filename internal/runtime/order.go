// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

// Since Linux 6.8 mountinfo has mounts in the order in which they were made
// ("mounts: keep list of mounts in an rbtree"), and who reads it takes that for the order of the
// configuration. What open-mount-sources has cloned is older than the file
// systems that the child makes. So in a bundle each source that follows one of
// these is cloned once more when its turn comes; what is cloned is still what
// was opened while host paths could be named.

// firstLate is the index of the first bind mount that is to be cloned in its
// turn, len(mounts) = none. A mount namespace that is joined, and a root without
// pivot, keep what is attached below the root: there the order is as it is.
func (l *Launch) firstLate() int {
	if l.plan.Root.Kind != plan.RootBundle || joinsMount(l) || l.opt.NoPivot {
		return len(l.sources)
	}
	fs := slices.Index(l.sources, nil)
	if fs < 0 {
		return len(l.sources)
	}
	for i, f := range l.sources[fs:] {
		if f != nil {
			return fs + i
		}
	}
	return len(l.sources)
}

func hasLateSources(l *Launch) bool { return l.firstLate() < len(l.sources) }

// attachSources gives each late source a place of its own on a small tmpfs: only
// attached mounts can be cloned before Linux 6.15, and later none of another
// mount namespace. All go away with the host's root.
func attachSources(c *compiler) {
	mark := c.p.Mark()
	places := c.beginStack("sources", len(c.sources))
	for i, f := range c.sources {
		if f == nil || i < c.firstLate() {
			continue
		}
		label, name := fmt.Sprintf("sources[%d]", i), c.p.Str(strconv.Itoa(i))
		if isDir(f) {
			c.p.Call("mkdirat", label, unix.SYS_MKDIRAT, unix.AT_FDCWD, name, 0o700)
		} else {
			c.p.Call("mknodat", label, unix.SYS_MKNODAT, unix.AT_FDCWD, name, unix.S_IFREG|0o600, 0)
		}
		c.p.Call("move_mount", f.Name()+" dst="+label, unix.SYS_MOVE_MOUNT, int(f.Fd()), c.p.Str(""), unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	c.close(places)
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
	c.p.Release(mark)
}

// attachLate attaches a clone of a source. A shared source is no peer of its
// clone from then on: it is unmounted with the host's root, and what is mounted
// below it would be with all peers, the host's own (umount(2), MNT_DETACH).
func (c *compiler) attachLate(label string, source int, o mountOptions, dst program.Reg) {
	from, tree := int(c.sources[source].Fd()), c.p.Reg()
	c.p.Call("open_tree", label+" OPEN_TREE_CLONE", unix.SYS_OPEN_TREE, from, c.p.Str(""),
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE).Into(tree)
	if kindOf(o.propagation) == unix.MS_SHARED {
		c.propagateTree(label+" source", from, unix.MS_PRIVATE)
	}
	c.attachSource(label, tree, o, dst)
	c.close(tree)
}

// attachSource attaches a source that is cloned no more, which is when one that
// is to be unbindable may become so.
func (c *compiler) attachSource(label string, mnt any, o mountOptions, dst program.Reg) {
	if kindOf(o.propagation) == unix.MS_UNBINDABLE {
		c.propagateTree(label, mnt, unix.MS_UNBINDABLE)
	}
	c.attach(label, mnt, dst)
}

func (c *compiler) propagateTree(label string, mnt any, kind uint64) {
	attr := program.Keep(c.p, &unix.MountAttr{Propagation: kind})
	c.p.Call("mount_setattr", fmt.Sprintf("%s propagation %#x", label, kind), unix.SYS_MOUNT_SETATTR, mnt, c.p.Str(""), unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr, mountAttrSize)
}

// sourceKind is how a source is cloned.
func sourceKind(o mountOptions) uint64 {
	if kind := kindOf(o.propagation); kind != unix.MS_UNBINDABLE {
		return kind
	}
	return unix.MS_PRIVATE
}
