// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

func mountInterface(Machine) result {
	if !isRoot() {
		return asRoot("detached mounts can be made")
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return bad("update the kernel; in a container, give CAP_SYS_ADMIN", "open_tree: %v", err)
	}
	unix.Close(fd)
	return good("detached mounts (open_tree, move_mount, mount_setattr)")
}

// existing is the directory itself or the nearest one above it.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func idMapped(m Machine) result {
	if !isRoot() {
		return asRoot("file systems can be id-mapped")
	}
	dir := existing(m.Store)
	err := inUserNamespace(func(pid int) error {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
		if err != nil {
			return err
		}
		defer ns.Close()
		fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("open_tree: %w", err)
		}
		defer unix.Close(fd)
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
			return fmt.Errorf("mount_setattr: %w", err)
		}
		return nil
	})
	switch {
	case errors.Is(err, unix.EINVAL):
		return warn("put the store and volumes on ext4, XFS, Btrfs or tmpfs, or write `userns_mode: host`",
			"the file system of %s cannot be id-mapped: %v", dir, err)
	case err != nil:
		return warn("`userns_mode: host` does without", "the file system of %s: %v", dir, err)
	}
	return good("the file system of %s can be", dir)
}

func overlay(m Machine) result {
	if !isRoot() {
		return asRoot("overlay file systems can be mounted")
	}
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return warn("modprobe overlay, or build the kernel with CONFIG_OVERLAY_FS", "no overlay file system: images do not work, `rootfs:` does")
	}
	if err != nil {
		return warn("`rootfs:` does without; in a container, give CAP_SYS_ADMIN", "fsopen overlay: %v", err)
	}
	unix.Close(fd)
	return good("there")
}

// fewBytes and fewFiles are what one image may take.
const (
	fewBytes = 1 << 30
	fewFiles = 50_000
)

func store(m Machine) result {
	dir := existing(m.Store)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return bad("repair or mount its file system", "%s: %v", dir, err)
	}
	switch free := st.Bavail * uint64(st.Bsize); {
	case st.Flags&unix.ST_RDONLY != 0:
		return warn("mount it for writing", "%s is read-only: images cannot be fetched", dir)
	case free < fewBytes:
		return warn("unitc prune, or a larger disk", "%s has %d MiB left", dir, free>>20)
	case st.Files > 0 && st.Ffree < fewFiles:
		return warn("unitc prune, or a file system with more inodes", "%s has %d inodes left", dir, st.Ffree)
	default:
		return good("%s has %d GiB left", dir, free>>30)
	}
}

// size of a structure, for netlink messages.
func sizeof[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}
