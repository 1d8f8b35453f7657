// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// found is an entry of a lower layer, in a directory opened there.
type found struct {
	dirFD int
	name  string
	st    unix.Stat_t
}

func (f *found) close() { unix.Close(f.dirFD) }

// fromBelow enters a directory that this layer does not have: as the lowers
// have it, or as a plain new one.
func (a *apply) fromBelow(name string) (target string, err error) {
	f, err := a.lookup(name)
	if err != nil {
		return "", err
	}
	if f == nil {
		return "", a.create(name, implicit())
	}
	defer f.close()
	switch f.st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return readlink(f.dirFD, f.name)
	case unix.S_IFDIR:
		m, err := a.metaOf(f)
		if err != nil {
			return "", err
		}
		return "", a.create(name, m)
	}
	return "", fmt.Errorf("%w: %q is not a directory in the layers below", ErrRefused, name)
}

// lookup finds an entry of the directory on top in the lowers, as overlayfs
// would merge them; nil if none has it.
func (a *apply) lookup(name string) (*found, error) {
	if a.top().hidden {
		return nil, nil
	}
	a.res.Dependent = true
	if !a.opts.Below {
		return nil, nil
	}
	if a.opts.Lowers == nil {
		return nil, ErrNeedsLower
	}
	var path []string
	for _, d := range a.stack[1:] {
		path = append(path, d.name)
	}
	path = append(path, name)
	for _, lower := range a.opts.Lowers {
		f, hidden, err := lookupIn(int(lower.Fd()), path)
		if err != nil {
			return nil, fmt.Errorf("looking up %q in the layers below: %w", short(strings.Join(path, "/")), err)
		}
		if f != nil || hidden {
			return f, nil
		}
	}
	return nil, nil
}

// lookupIn walks one lower. hidden: what lies below it does not show.
func lookupIn(rootFD int, path []string) (f *found, hidden bool, err error) {
	fd, err := openDir(rootFD, ".")
	if err != nil {
		return nil, false, err
	}
	for i, name := range path {
		if isOpaque(fd) {
			hidden = true
		}
		st, err := lstat(fd, name)
		last := i == len(path)-1
		switch {
		case errors.Is(err, unix.ENOENT):
			unix.Close(fd)
			return nil, hidden, nil
		case err != nil:
			unix.Close(fd)
			return nil, false, err
		case isWhiteout(&st):
			unix.Close(fd)
			return nil, true, nil
		case last:
			return &found{dirFD: fd, name: name, st: st}, false, nil
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			unix.Close(fd)
			return nil, true, nil
		}
		next, err := openDir(fd, name)
		unix.Close(fd)
		if err != nil {
			return nil, false, err
		}
		fd = next
	}
	unix.Close(fd)
	return nil, hidden, nil
}

// metaOf is what a lower's entry looks like.
func (a *apply) metaOf(f *found) (Meta, error) {
	m := Meta{
		Mode: f.st.Mode & 0o7777, UID: int(f.st.Uid), GID: int(f.st.Gid),
		MTime: time.Unix(f.st.Mtim.Unix()), ATime: time.Unix(f.st.Atim.Unix()),
	}
	fd, err := unix.Openat(f.dirFD, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return m, err
	}
	defer unix.Close(fd)
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, list)
	if err != nil {
		return m, fmt.Errorf("listxattr %q: %w", f.name, err)
	}
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "user.overlay.") || name == "security.selinux" {
			continue
		}
		value, err := getxattr(fd, name)
		if err != nil {
			return m, fmt.Errorf("getxattr %s of %q: %w", name, f.name, err)
		}
		if m.Xattrs == nil {
			m.Xattrs = map[string]string{}
		}
		m.Xattrs[name] = value
	}
	return m, nil
}

// copyUp brings a file of the lowers into the directory on top, so that it can
// be linked to.
func (a *apply) copyUp(name string) error {
	f, err := a.lookup(name)
	if err != nil {
		return err
	}
	if f == nil {
		return unix.ENOENT
	}
	defer f.close()
	if f.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%w: it is not a regular file of the layers below", ErrRefused)
	}
	m, err := a.metaOf(f)
	if err != nil {
		return err
	}
	fd, err := unix.Openat(f.dirFD, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(fd), f.name)
	defer src.Close()
	if l := a.opts.Limits.Bytes; l > 0 && f.st.Size > l-a.res.Bytes {
		return fmt.Errorf("%w: %d bytes after %d; the layer may unpack to %d", ErrRefused, f.st.Size, a.res.Bytes, l)
	}
	a.res.Bytes += f.st.Size
	return a.file(name, m, f.st.Size, io.Reader(src))
}
