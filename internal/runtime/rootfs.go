// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// openRoot makes the root file system as a detached mount. Nothing becomes
// visible on the host: when the launch fails, closing the descriptor is all
// the clean-up there is.
func openRoot(l *Launch) error {
	err := checkJoinedMount(l)
	if err != nil {
		return err
	}
	switch r := l.plan.Root; r.Kind {
	case plan.RootDirectory, plan.RootBundle:
		l.root, err = cloneTree(unix.AT_FDCWD, r.Path, true, l.rootKind())
	case plan.RootHost:
		l.root, err = hostRoot(l)
	case plan.RootOverlay:
		return openLayers(l)
	default:
		err = fmt.Errorf("unknown kind of root file system %q", r.Kind)
	}
	if err != nil {
		return err
	}
	l.own(l.root)
	if l.anchor != nil && l.plan.Root.Kind == plan.RootDirectory {
		return idmap(l.root, l.anchor.user, true, l.plan.Root.Path)
	}
	return nil
}

// cloneTree is open_tree(2) of path below dir, "" = dir itself: a private copy
// of the mount that exists only behind its descriptor, of a kind of propagation.
func cloneTree(dir int, path string, recursive bool, kind uint64) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	// A clone is still a peer of its source: mounts would travel both ways.
	if err := setPropagation(f, kind, recursive); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ErrIDMap is a file system whose mounts cannot carry an id mapping.
var ErrIDMap = errors.New("this file system cannot be id-mapped")

// idmap gives a detached mount the id mapping of a user namespace: what root
// owns on disk, the container's root owns inside; nothing is chowned.
func idmap(f, userns *os.File, recursive bool, what string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
	at := uint(unix.AT_EMPTY_PATH)
	if recursive {
		at |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(int(f.Fd()), "", at, &attr)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("mount_setattr %s MOUNT_ATTR_IDMAP: %w: %w", what, ErrIDMap, err)
	}
	if err != nil {
		return fmt.Errorf("mount_setattr %s MOUNT_ATTR_IDMAP: %w", what, err)
	}
	return nil
}

// hostDirs are the payload's own directories under `rootfs: host`, with modes
// as the file-hierarchy(7) has them.
var hostDirs = []struct {
	path string
	mode uint32
}{
	{"dev", 0o755}, {"etc", 0o755}, {"home", 0o755}, {"media", 0o755}, {"mnt", 0o755}, {"opt", 0o755}, {"proc", 0o555},
	{"root", 0o700}, {"run", 0o755}, {"run/lock", 0o1777}, {"srv", 0o755}, {"sys", 0o555}, {"tmp", 0o1777}, {"usr", 0o755},
	{"var", 0o755}, {"var/cache", 0o755}, {"var/lib", 0o755}, {"var/log", 0o755}, {"var/spool", 0o755}, {"var/tmp", 0o1777},
}

// mergedUsr are the links of "/" into /usr that the host has.
var mergedUsr = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// hostRoot is a tmpfs with an empty tree and the host's links into /usr. The
// mounts of the plan put /usr and a few files of /etc into it, read-only.
func hostRoot(l *Launch) (*os.File, error) {
	f, err := newTmpfs(append(mountContext(l.spec), "mode=0755", "size=64m")...)
	if err != nil {
		return nil, err
	}
	dir := int(f.Fd())
	for _, d := range hostDirs {
		if err := mkdirOwned(l, dir, d.path, d.mode); err != nil {
			f.Close()
			return nil, err
		}
	}
	for link, target := range map[string]string{"var/run": "../run", "var/lock": "../run/lock", "etc/mtab": "../proc/self/mounts"} {
		if err := symlinkOwned(l, target, dir, link); err != nil {
			f.Close()
			return nil, err
		}
	}
	for _, link := range mergedUsr {
		target, err := os.Readlink("/" + link)
		if err != nil || !strings.HasPrefix(strings.TrimPrefix(target, "/"), "usr/") {
			continue
		}
		if err := symlinkOwned(l, strings.TrimPrefix(target, "/"), dir, link); err != nil {
			f.Close()
			return nil, err
		}
	}
	if err := writeNames(l, dir); err != nil {
		f.Close()
		return nil, err
	}
	if err := chownOwned(l, dir, "."); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// writeNames makes etc/hosts and etc/hostname, without which "localhost" is no
// name. A container in the host's network sees the host's own files instead.
func writeNames(l *Launch, dir int) error {
	if !l.hasNew(specs.NetworkNamespace) {
		return nil
	}
	name := l.spec.Hostname
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if name != "" {
		hosts += "127.0.1.1\t" + name + "\n"
	}
	for path, text := range map[string]string{"etc/hosts": hosts, "etc/hostname": name + "\n", "etc/resolv.conf": ""} {
		fd, err := unix.Openat(dir, path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("creating %s in the new root: %w", path, err)
		}
		_, err = unix.Write(fd, []byte(text))
		if err = errors.Join(err, unix.Fchmod(fd, 0o644), unix.Close(fd), chownOwned(l, dir, path)); err != nil {
			return fmt.Errorf("writing %s in the new root: %w", path, err)
		}
	}
	return nil
}

func symlinkOwned(l *Launch, target string, dir int, link string) error {
	if err := unix.Symlinkat(target, dir, link); err != nil {
		return fmt.Errorf("symlink %s in the new root: %w", link, err)
	}
	return chownOwned(l, dir, link)
}

func mkdirOwned(l *Launch, dir int, path string, mode uint32) error {
	if err := unix.Mkdirat(dir, path, 0o700); err != nil {
		return fmt.Errorf("mkdir %s in the new root: %w", path, err)
	}
	if err := unix.Fchmodat(dir, path, mode, 0); err != nil {
		return fmt.Errorf("chmod %s in the new root: %w", path, err)
	}
	return chownOwned(l, dir, path)
}

// chownOwned gives a new file to the container's root.
func chownOwned(l *Launch, dir int, path string) error {
	if l.anchor == nil {
		return nil
	}
	if err := unix.Fchownat(dir, path, int(l.anchor.base), int(l.anchor.baseGID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("chown %s in the new root: %w", path, err)
	}
	return nil
}

// newTmpfs is a detached tmpfs, nosuid and nodev.
func newTmpfs(options ...string) (*os.File, error) {
	return newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, options...)
}

// newMount makes a file system and a detached mount of it. A kernel message
// about a refused option is part of the error.
func newMount(kind string, attr int, options ...string) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		key, value, has := strings.Cut(o, "=")
		if has {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, fmt.Errorf("fsconfig %s %s: %w%s", kind, o, err, fsMessages(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig %s create: %w%s", kind, err, fsMessages(fs))
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	if err != nil {
		return nil, fmt.Errorf("fsmount %s: %w", kind, err)
	}
	return os.NewFile(uintptr(fd), kind), nil
}

// fsMessages are the kernel's words on a file system context (fsopen(2)).
func fsMessages(fs int) string {
	var out strings.Builder
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(fs, b)
		if err != nil || n <= 0 {
			return out.String()
		}
		out.WriteString(" (" + strings.TrimSpace(string(b[:n])) + ")")
	}
}

// attachRoot puts the detached root into the child's mount namespace. Where is
// of no importance: pivot-root makes it "/".
func attachRoot(c *compiler) {
	if isOverlay(c.Launch) {
		mountOverlay(c)
		return
	}
	c.p.Call("move_mount", "rootfs dst="+c.opt.AttachPoint, unix.SYS_MOVE_MOUNT,
		int(c.root.Fd()), c.p.Str(""), unix.AT_FDCWD, c.p.Str(c.opt.AttachPoint), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// leavesHostRoot tells whether pivot-root unmounts the host's root and all that is
// attached below it.
func leavesHostRoot(l *Launch) bool {
	return !joinsMount(l) && !l.opt.NoPivot && !protection.Off("leave-host-root")
}

// pivotRoot makes the rootfs "/" and drops the old root with all its mounts
// (pivot_root(2), "pivot_root(".", ".")").
func pivotRoot(c *compiler) {
	c.p.Call("fchdir", "rootfs", unix.SYS_FCHDIR, c.rootDir())
	if joinsMount(c.Launch) || protection.Off("leave-host-root") {
		c.p.Call("chroot", ".", unix.SYS_CHROOT, c.p.Str("."))
		c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
		return
	}
	if c.opt.NoPivot {
		c.p.Call("mount", ". dst=/ MS_MOVE", unix.SYS_MOUNT, c.p.Str("."), c.p.Str("/"), 0, unix.MS_MOVE, 0)
		c.p.Call("chroot", ".", unix.SYS_CHROOT, c.p.Str("."))
		c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
		return
	}
	c.p.Call("pivot_root", ". .", unix.SYS_PIVOT_ROOT, c.p.Str("."), c.p.Str("."))
	c.p.Call("umount2", "the host's root MNT_DETACH", unix.SYS_UMOUNT2, c.p.Str("."), unix.MNT_DETACH)
	c.p.Call("chdir", "/", unix.SYS_CHDIR, c.p.Str("/"))
}

func readonlyRoot(l *Launch) bool { return l.spec.Root.Readonly }

func setRootReadonly(c *compiler) {
	set := uint64(unix.MOUNT_ATTR_RDONLY)
	if protection.Off("readonly-root") {
		set = 0
	}
	attr := program.Keep(c.p, &unix.MountAttr{Attr_set: set})
	c.p.Call("mount_setattr", "/ MOUNT_ATTR_RDONLY", unix.SYS_MOUNT_SETATTR, unix.AT_FDCWD, c.p.Str("/"), 0, attr, mountAttrSize)
	c.mustBeReadonly("/")
}

// mustBeReadonly reads the flags of the mount at path back (statfs(2), f_flags).
func (c *compiler) mustBeReadonly(path string) {
	st := make([]byte, unsafe.Sizeof(unix.Statfs_t{}))
	at := unsafe.Offsetof(unix.Statfs_t{}.Flags)
	want, mask := make([]byte, 8), make([]byte, 8)
	binary.NativeEndian.PutUint64(want, unix.ST_RDONLY)
	binary.NativeEndian.PutUint64(mask, unix.ST_RDONLY)
	c.p.Call("statfs", path, unix.SYS_STATFS, c.p.Str(path), c.p.Bytes(st))
	c.p.CompareBits("statfs", path+" must be read-only", st[at:at+8], want, mask)
}
