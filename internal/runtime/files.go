// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
)

// secretsDir is one mount: programs look into it, and files are added to it in
// one place.
const secretsDir = "/run/secrets"

// fillFiles puts secrets and configs into a file system of their own. A ramfs
// is never written to swap (tmpfs(5) has noswap since Linux 6.4 only), nobody
// sees it but the payload, and it ends with the payload's mount namespace.
func fillFiles(l *Launch) error {
	if len(l.plan.Files) == 0 {
		return nil
	}
	if len(l.opt.Contents) != len(l.plan.Files) {
		return fmt.Errorf("%d contents for %d files", len(l.opt.Contents), len(l.plan.Files))
	}
	fs, err := l.newRAMFS()
	if err != nil {
		return err
	}
	l.filesDir = l.own(fs)
	uid, gid, err := l.hostOwner("0", "0")
	if err != nil {
		return err
	}
	dir := int(fs.Fd())
	if err := unix.Mkdirat(dir, "secrets", 0o755); err != nil {
		return fmt.Errorf("mkdir secrets: %w", err)
	}
	if err := unix.Fchownat(dir, "secrets", uid, gid, 0); err != nil {
		return fmt.Errorf("chown secrets: %w", err)
	}
	for i, f := range l.plan.Files {
		if err := l.fillFile(dir, filePlace(i, f), f, l.opt.Contents[i]); err != nil {
			return fmt.Errorf("%s: %w", f.Destination, err)
		}
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(dir, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr of the files MOUNT_ATTR_RDONLY: %w", err)
	}
	return nil
}

// filePlace is where a file is in the file system of fillFiles.
func filePlace(i int, f plan.File) string {
	if path.Dir(f.Destination) == secretsDir {
		return "secrets/" + path.Base(f.Destination)
	}
	return strconv.Itoa(i)
}

func (l *Launch) newRAMFS() (*os.File, error) {
	fs, err := unix.Fsopen("ramfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen ramfs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "mode", "0755"); err != nil {
		return nil, fmt.Errorf("fsconfig mode: %w", err)
	}
	if label := l.spec.Linux.MountLabel; label != "" {
		if err := unix.FsconfigSetString(fs, "context", label); err != nil {
			return nil, fmt.Errorf("fsconfig context=%s: %w", label, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("fsconfig create: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w", err)
	}
	return os.NewFile(uintptr(mnt), "files"), nil
}

func (l *Launch) fillFile(dir int, name string, f plan.File, content []byte) error {
	uid, gid, err := l.hostOwner(f.UID, f.GID)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chown(uid, gid); err != nil {
		return err
	}
	return unix.Fchmod(fd, f.Mode)
}

// hostOwner gives a container's user and group, by name or number, as the host
// has them.
func (l *Launch) hostOwner(user, group string) (uid, gid int, err error) {
	u, err := resolveUser(l.nameDirs(), &plan.Plan{User: user, Root: l.plan.Root})
	if err != nil {
		return 0, 0, err
	}
	g := uint32(0)
	if group != "" {
		if g, err = resolveGroup(l.nameDirs(), l.plan, group, ErrNoGroup); err != nil {
			return 0, 0, err
		}
	}
	if l.anchor == nil {
		return int(u.UID), int(g), nil
	}
	hostUID, err := hostID(l.spec.Linux.UIDMappings, u.UID)
	if err != nil {
		return 0, 0, err
	}
	hostGID, err := hostID(l.spec.Linux.GIDMappings, g)
	return int(hostUID), int(hostGID), err
}

func hasFiles(l *Launch) bool { return len(l.plan.Files) > 0 }

// attachFiles makes the file system one of this mount namespace: the kernel
// clones parts of no other (open_tree(2); before Linux 6.15 of no detached one).
func attachFiles(c *compiler) {
	c.p.Call("move_mount", "files dst="+c.opt.AttachPoint, unix.SYS_MOVE_MOUNT,
		int(c.filesDir.Fd()), c.p.Str(""), unix.AT_FDCWD, c.p.Str(c.opt.AttachPoint), unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// fileMount is one mount of what fillFiles made.
type fileMount struct {
	place, destination string
	dir                bool
}

// fileMounts are each file, and the directory of the secrets once.
func fileMounts(files []plan.File) []fileMount {
	var list []fileMount
	done := false
	for i, f := range files {
		m := fileMount{filePlace(i, f), f.Destination, false}
		if path.Dir(m.place) == "secrets" {
			if done {
				continue
			}
			m, done = fileMount{"secrets", secretsDir, true}, true
		}
		list = append(list, m)
	}
	return list
}

// mountFiles puts each file, or the directory of the secrets, in its place.
func mountFiles(c *compiler) {
	for _, m := range fileMounts(c.plan.Files) {
		place, destination, dir := m.place, m.destination, m.dir
		mark := c.p.Mark()
		dst, src := c.p.Reg(), c.p.Reg()
		label := "dst=" + destination
		c.open(label, destination, dir, dst)
		c.p.Call("open_tree", place+" OPEN_TREE_CLONE", unix.SYS_OPEN_TREE, int(c.filesDir.Fd()), c.p.Str(place), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC).Into(src)
		attr := program.Keep(c.p, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
		c.p.Call("mount_setattr", label+" MS_PRIVATE", unix.SYS_MOUNT_SETATTR, src, c.p.Str(""), unix.AT_EMPTY_PATH, attr, mountAttrSize)
		c.attach(label, src, dst)
		c.close(src)
		c.close(dst)
		c.p.Release(mark)
	}
}
