// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/protection"
)

// Limits on what tmpcopyup takes out of an untrusted tree into memory.
const (
	maxCopyBytes   = 256 << 20
	maxCopyEntries = 100_000
	maxCopyDepth   = 64
)

// copyUp makes the tmpfs of a mount with tmpcopyup and fills it with what the
// root file system has at its destination. It happens here, on descriptors,
// since the forked child runs no Go.
func (l *Launch) copyUp(destination string, o mountOptions) (*os.File, error) {
	mnt, err := newMount("tmpfs", int((o.set|o.rset)&^unix.MOUNT_ATTR_RDONLY), append(mountContext(l.spec), o.data...)...)
	if err != nil {
		return nil, err
	}
	l.own(mnt)
	root, err := l.copyRoot()
	if err != nil {
		return nil, fmt.Errorf("tmpcopyup: %w", err)
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: inRoot}
	if protection.Off("copy-in-root") {
		how.Resolve = 0
	}
	fd, err := inroot.Open(int(root.Fd()), strings.TrimPrefix(path.Clean("/"+destination), "/"), &how)
	if errors.Is(err, unix.ENOENT) {
		return mnt, l.sealTmpfs(mnt, o)
	}
	if err != nil {
		return nil, fmt.Errorf("tmpcopyup: opening %s of the root file system: %w", destination, err)
	}
	from := os.NewFile(uintptr(fd), destination)
	defer from.Close()
	to, err := unix.Openat(int(mnt.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("tmpcopyup: opening the tmpfs: %w", err)
	}
	defer unix.Close(to)
	c := &copier{bytes: maxCopyBytes, entries: maxCopyEntries}
	if err := c.directory(from, to, 0); err != nil {
		return nil, fmt.Errorf("tmpcopyup of %s: %w", destination, err)
	}
	return mnt, l.sealTmpfs(mnt, o)
}

// sealTmpfs makes the mount read-only where that was asked for: it could not be
// filled otherwise.
func (l *Launch) sealTmpfs(mnt *os.File, o mountOptions) error {
	if (o.set|o.rset)&unix.MOUNT_ATTR_RDONLY == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(mnt.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr tmpfs MOUNT_ATTR_RDONLY: %w", err)
	}
	return nil
}

// copier is a copy on its way, with what it may still take.
type copier struct {
	bytes   int64
	entries int
}

// directory copies what is in from, and from's own mode and owner.
func (c *copier) directory(from *os.File, to, depth int) error {
	if depth > maxCopyDepth {
		return fmt.Errorf("%s is more than %d directories deep", from.Name(), maxCopyDepth)
	}
	for {
		entries, err := from.ReadDir(256)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if c.entries--; c.entries < 0 {
				return fmt.Errorf("more than %d files: use a volume", maxCopyEntries)
			}
			if err := c.entry(from, to, e.Name(), depth); err != nil {
				return err
			}
		}
	}
	return c.attributes(from, to, ".")
}

// entry copies one file. Sockets, pipes and devices stay behind.
func (c *copier) entry(from *os.File, to int, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %s: %w", name, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return c.link(from, to, name, &st)
	case unix.S_IFDIR, unix.S_IFREG:
	default:
		return nil
	}
	flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(from.Fd()), name, flags, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return c.file(f, to, name)
	}
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return fmt.Errorf("mkdir %s: %w", name, err)
	}
	sub, err := unix.Openat(to, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the new %s: %w", name, err)
	}
	defer unix.Close(sub)
	return c.directory(f, sub, depth+1)
}

func (c *copier) link(from *os.File, to int, name string, st *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(from.Fd()), name, target)
	if err != nil {
		return fmt.Errorf("readlink %s: %w", name, err)
	}
	if err := unix.Symlinkat(string(target[:n]), to, name); err != nil {
		return fmt.Errorf("symlink %s: %w", name, err)
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("chown %s: %w", name, err)
	}
	return nil
}

func (c *copier) file(f *os.File, to int, name string) error {
	var st unix.Stat_t
	// Again, on what was opened: it may have been exchanged for a device.
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is no regular file any more (%v)", name, err)
	}
	fd, err := unix.Openat(to, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	n, err := io.Copy(out, io.LimitReader(f, c.bytes+1))
	if err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	if c.bytes -= n; c.bytes < 0 {
		return fmt.Errorf("more than %d MiB: use a volume", maxCopyBytes>>20)
	}
	return c.attributes(f, to, name)
}

// attributes gives the copy the owner and then the mode, which a change of
// owner would clear bits of. Set-id bits are not taken over.
func (c *copier) attributes(from *os.File, to int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", from.Name(), err)
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("chown %s: %w", name, err)
	}
	if err := unix.Fchmodat(to, name, st.Mode&0o1777, 0); err != nil {
		return fmt.Errorf("chmod %s: %w", name, err)
	}
	return nil
}
