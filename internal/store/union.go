// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// union reads the merged tree of an image without mounting it: a volume is
// made before there is a mount, with the owners that are on the disk.
//
// The layers' content is a stranger's: one component at a time, by descriptor,
// links resolved here.

// unionDir is one directory of the merged tree: those of the layers that have
// it, topmost first.
type unionDir []int

func (u unionDir) close() {
	for _, fd := range u {
		unix.Close(fd)
	}
}

// unionEntry is what a name in a unionDir stands for; dir is set for a
// directory, else fd and name for where the entry is.
type unionEntry struct {
	st   unix.Stat_t
	fd   int
	name string
	dir  unionDir
}

func openUnion(lowers []string) (unionDir, error) {
	var u unionDir
	for _, l := range lowers {
		fd, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			u.close()
			return nil, fmt.Errorf("opening layer %s: %w", l, err)
		}
		u = append(u, fd)
	}
	return u, nil
}

// lookup finds a name as overlayfs would; nil if there is none.
func (u unionDir) lookup(name string) (*unionEntry, error) {
	var e *unionEntry
	for _, fd := range u {
		var st unix.Stat_t
		err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if e == nil {
			e = &unionEntry{st: st, fd: fd, name: name}
			if whiteout(&st) {
				return nil, nil
			}
		}
		if !isDir {
			return e, nil // the entry itself, or what ends a merge
		}
		sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			e.dir.close()
			return nil, err
		}
		e.dir = append(e.dir, sub)
		if opaque(sub) {
			break
		}
	}
	return e, nil
}

func whiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func opaque(fd int) bool {
	var buf [8]byte
	name := "trusted.overlay.opaque"
	if realm.Own() != nil {
		name = "user.overlay.opaque" // see package layer
	}
	n, err := unix.Fgetxattr(fd, name, buf[:])
	return err == nil && string(buf[:n]) == "y"
}

// names lists the merged directory in order.
func (u unionDir) names() ([]string, error) {
	set := map[string]bool{}
	for _, fd := range u {
		dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		d := os.NewFile(uintptr(dup), "")
		list, err := d.Readdirnames(-1)
		d.Close()
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			set[n] = true // lookup tells which of them are deleted
		}
	}
	var all []string
	for n := range set {
		all = append(all, n)
	}
	slices.Sort(all)
	return all, nil
}

// find walks to a path, following links inside the tree. The caller closes the
// entry's dir. nil: there is nothing.
func (u unionDir) find(path string) (*unionEntry, error) {
	type level struct{ dir unionDir }
	stack := []level{}
	defer func() {
		for _, l := range stack {
			l.dir.close()
		}
	}()
	todo := strings.Split(path, "/")
	links := 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if len(stack) > 0 {
				stack[len(stack)-1].dir.close()
				stack = stack[:len(stack)-1]
			}
			continue
		}
		at := u
		if len(stack) > 0 {
			at = stack[len(stack)-1].dir
		}
		e, err := at.lookup(name)
		if e == nil || err != nil {
			return nil, err
		}
		switch {
		case e.dir != nil:
			stack = append(stack, level{e.dir})
		case e.st.Mode&unix.S_IFMT == unix.S_IFLNK:
			if links++; links > 40 {
				return nil, unix.ELOOP
			}
			target, err := readlinkat(e.fd, name)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(target, "/") {
				for _, l := range stack {
					l.dir.close()
				}
				stack = nil
			}
			todo = append(strings.Split(target, "/"), todo...)
		default:
			return e, nil // a file; more path below it is nothing to copy
		}
	}
	if len(stack) == 0 {
		return nil, nil // the root itself is no volume's content
	}
	last := stack[len(stack)-1].dir
	stack = stack[:len(stack)-1]
	e := &unionEntry{dir: last}
	return e, unix.Fstat(last[0], &e.st)
}

func readlinkat(fd int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// copyFromImage fills the directory to with what the image has at a path. An
// image that has nothing there, or a file, leaves it empty.
func copyFromImage(seed *Seed, to string) error {
	root, err := openUnion(seed.Image.Lowers)
	if err != nil {
		return err
	}
	defer root.close()
	e, err := root.find(seed.Path)
	if err != nil || e == nil || e.dir == nil {
		return err
	}
	defer e.dir.close()
	c := &copier{links: map[[2]uint64]string{}}
	return c.dir(e, to, 0)
}

// copier copies a merged tree to a fresh directory of the host, which nobody
// else can reach; there, paths are safe.
type copier struct {
	links map[[2]uint64]string // device and inode → first copy
}

func (c *copier) dir(e *unionEntry, to string, depth int) error {
	if depth > 255 {
		return fmt.Errorf("%s: more than 255 directories deep", to)
	}
	names, err := e.dir.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		sub, err := e.dir.lookup(n)
		if err != nil {
			return err
		}
		if sub == nil {
			continue
		}
		err = c.entry(sub, filepath.Join(to, n), depth)
		sub.dir.close()
		if err != nil {
			return err
		}
	}
	if err := copyXattrs(e.dir[0], to); err != nil {
		return err
	}
	return setLike(to, &e.st)
}

func (c *copier) entry(e *unionEntry, to string, depth int) error {
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return c.dir(e, to, depth+1)
	case unix.S_IFLNK:
		target, err := readlinkat(e.fd, e.name)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, to); err != nil {
			return err
		}
		return setLike(to, &e.st)
	case unix.S_IFREG:
		return c.file(e, to)
	case unix.S_IFIFO:
		if err := unix.Mkfifo(to, 0o600); err != nil {
			return err
		}
		return setLike(to, &e.st)
	}
	return nil // a device node is nothing to put into a volume
}

func (c *copier) file(e *unionEntry, to string) error {
	id := [2]uint64{e.st.Dev, e.st.Ino}
	if first := c.links[id]; first != "" {
		return os.Link(first, to)
	}
	if e.st.Nlink > 1 {
		c.links[id] = to
	}
	fd, err := unix.Openat(e.fd, e.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(fd), e.name)
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	// io.Copy uses copy_file_range(2), which shares blocks where it can.
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if err := setLike(to, &e.st); err != nil {
		return err
	}
	// After the owner, which clears file capabilities; they do not change times.
	return copyXattrs(fd, to)
}

// setLike gives owner, mode and times. The order matters: chown(2) clears
// setuid bits.
func setLike(path string, st *unix.Stat_t) error {
	if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(path, st.Mode&0o7777); err != nil {
			return err
		}
	}
	ts := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

func copyXattrs(fd int, to string) error {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, list)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "user.overlay.") || name == "security.selinux" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(to, name, value[:n], 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}
