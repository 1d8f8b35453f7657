// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
)

// apply walks a stack of open directories. A tar lists a directory's content
// together, so nearly every entry finds its parent on top; memory is bounded
// by the depth and not by the size of the layer.
type apply struct {
	ctx       context.Context
	opts      Options
	stack     []dir // stack[0] is the root
	res       Result
	buf       []byte
	unchecked int64 // bytes since Options.Space was asked
}

// dir is an open directory. What the tar says about it is applied when it is
// left: a file created in it would change its time, a setgid bit or a default
// ACL on it would change the file.
type dir struct {
	name   string
	fd     int
	meta   *Meta           // to be applied; nil for a directory entered again
	mtime  []unix.Timespec // to be restored in that case
	dirty  bool
	hidden bool // an opaque directory: nothing of the lowers shows here
}

func newApply(ctx context.Context, root *os.File, opts Options) (*apply, error) {
	fd, err := unix.FcntlInt(root.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicating the descriptor of the root: %w", err)
	}
	return &apply{ctx: ctx, opts: opts, stack: []dir{{fd: fd}}, buf: make([]byte, 128<<10)}, nil
}

func (a *apply) top() *dir { return &a.stack[len(a.stack)-1] }

func (a *apply) close() {
	for _, d := range a.stack {
		unix.Close(d.fd)
	}
}

// finish leaves everything and gives the root its looks: those of the layer or,
// so that equal layers give equal trees, fixed ones.
func (a *apply) finish() error {
	if err := a.leaveTo(1); err != nil {
		return err
	}
	m := a.res.Root
	if m == nil {
		m = &Meta{Mode: 0o755, MTime: time.Unix(0, 0), ATime: time.Unix(0, 0)}
	}
	return a.setDir(a.stack[0].fd, m)
}

// leaveTo closes directories until n are open.
func (a *apply) leaveTo(n int) error {
	for len(a.stack) > n {
		d := a.top()
		var err error
		switch {
		case d.meta != nil:
			err = a.setDir(d.fd, d.meta)
		case d.dirty && d.mtime != nil:
			err = futimens(d.fd, d.mtime)
		}
		unix.Close(d.fd)
		a.stack = a.stack[:len(a.stack)-1]
		if err != nil {
			return err
		}
	}
	return nil
}

// enter makes the directory of path the top of the stack; what is missing of
// it is created as overlayfs must show it.
func (a *apply) enter(path []string) error {
	n := 0
	for n < len(path) && n+1 < len(a.stack) && a.stack[n+1].name == path[n] {
		n++
	}
	if err := a.leaveTo(n + 1); err != nil {
		return err
	}
	if n == len(path) {
		return nil
	}
	return a.walk(path[n:])
}

// walk descends from the top. A symbolic link on the way is followed inside
// the root, as the image's own processes would; the layer may rely on that
// ("lib/x" where /lib is a link to usr/lib).
func (a *apply) walk(path []string) error {
	links := 0
	for len(path) > 0 {
		name := path[0]
		path = path[1:]
		switch name {
		case "", ".":
			continue
		case "..": // only from a link's target
			if err := a.leaveTo(max(1, len(a.stack)-1)); err != nil {
				return err
			}
			continue
		}
		target, err := a.descend(name)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("%w: %w", ErrRefused, unix.ELOOP)
		}
		if strings.HasPrefix(target, "/") {
			if err := a.leaveTo(1); err != nil {
				return err
			}
		}
		path = append(strings.Split(target, "/"), path...)
	}
	return nil
}

// descend enters one directory of the top, or gives the target of the link
// that stands there.
func (a *apply) descend(name string) (target string, err error) {
	if len(a.stack) > maxDepth {
		return "", fmt.Errorf("%w: more than %d directories deep", ErrRefused, maxDepth)
	}
	d := a.top()
	fd, err := openDir(d.fd, name)
	if err == nil {
		return "", a.again(name, fd)
	}
	if errors.Is(err, unix.ENOENT) {
		return a.fromBelow(name)
	}
	if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return "", fmt.Errorf("opening directory %q: %w", name, err)
	}
	st, err := lstat(d.fd, name)
	if err != nil {
		return "", err
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return readlink(d.fd, name)
	case isWhiteout(&st):
		return "", a.create(name, implicit())
	}
	return "", fmt.Errorf("%w: %q is not a directory", ErrRefused, name)
}

// again pushes a directory that was left before. Its default ACL is taken off
// for the time, or it would be inherited.
func (a *apply) again(name string, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	d := dir{name: name, fd: fd, mtime: []unix.Timespec{st.Atim, st.Mtim}, hidden: a.top().hidden}
	if acl, err := getxattr(fd, aclDefault); err == nil && acl != "" {
		d.meta = &Meta{
			Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid),
			ATime: time.Unix(st.Atim.Unix()), MTime: time.Unix(st.Mtim.Unix()), Xattrs: map[string]string{aclDefault: acl},
		}
		if err := unix.Fremovexattr(fd, aclDefault); err != nil {
			unix.Close(fd)
			return err
		}
	}
	if isOpaque(fd) {
		d.hidden = true
	}
	a.stack = append(a.stack, d)
	return nil
}

// implicit is a directory that the tar does not mention and no layer has.
func implicit() Meta {
	return Meta{Mode: 0o755, MTime: time.Unix(0, 0), ATime: time.Unix(0, 0)}
}

// create makes a directory on top and pushes it. Where a whiteout stood, the
// lowers' directory of that name must stay hidden: the new one is opaque.
func (a *apply) create(name string, m Meta) error {
	d := a.top()
	hidden, wipe := d.hidden, false
	err := unix.Mkdirat(d.fd, name, 0o700)
	if errors.Is(err, unix.EEXIST) {
		st, serr := lstat(d.fd, name)
		if serr != nil {
			return serr
		}
		err = nil
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			wipe = isWhiteout(&st)
			if err = unix.Unlinkat(d.fd, name, 0); err == nil {
				err = unix.Mkdirat(d.fd, name, 0o700)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("mkdir %q: %w", name, err)
	}
	d.dirty = true
	fd, err := openDir(d.fd, name)
	if err != nil {
		return fmt.Errorf("opening directory %q: %w", name, err)
	}
	a.stack = append(a.stack, dir{name: name, fd: fd, meta: &m, hidden: hidden})
	if wipe {
		if err := a.opaque(); err != nil {
			return err
		}
	}
	if isOpaque(fd) {
		a.top().hidden = true
	}
	return unix.Fchown(fd, m.UID, m.GID)
}

// directory places an explicit entry and stays in it: its content follows.
func (a *apply) directory(name string, m Meta) error {
	if len(a.stack) > maxDepth {
		return fmt.Errorf("%w: more than %d directories deep", ErrRefused, maxDepth)
	}
	return a.create(name, m)
}

// setDir applies what is said of a directory. The ACLs come after the mode,
// which would change them.
func (a *apply) setDir(fd int, m *Meta) error {
	if err := unix.Fchown(fd, m.UID, m.GID); err != nil {
		return fmt.Errorf("chown of a directory: %w", err)
	}
	if err := unix.Fchmod(fd, m.Mode); err != nil {
		return fmt.Errorf("chmod of a directory: %w", err)
	}
	if err := a.setXattrs(fd, m.Xattrs); err != nil {
		return err
	}
	return futimens(fd, m.times())
}

// openDir opens one component. O_NOFOLLOW and the absence of a slash are what
// RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS of openat2(2) would add.
func openDir(fd int, name string) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if protection.Off("layer-inside") {
		flags &^= unix.O_NOFOLLOW
	}
	for {
		n, err := unix.Openat(fd, name, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func lstat(fd int, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func readlink(fd int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(fd, name, buf)
	if err != nil {
		return "", fmt.Errorf("readlink %q: %w", name, err)
	}
	if n == 0 || n == len(buf) {
		return "", fmt.Errorf("%w: link %q with a target of %d bytes", ErrRefused, name, n)
	}
	return string(buf[:n]), nil
}

// futimens sets access and modification time of an open file.
func futimens(fd int, ts []unix.Timespec) error {
	if err := unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("utimensat: %w", err)
	}
	return nil
}

func (m *Meta) times() []unix.Timespec {
	return []unix.Timespec{timespec(m.ATime), timespec(m.MTime)}
}

// timespec keeps any time a header may have: the kernel clamps it to what the
// file system can hold, where a conversion through nanoseconds would wrap.
func timespec(t time.Time) unix.Timespec {
	ts := unix.Timespec{}
	ts.Sec = t.Unix()
	ts.Nsec = int64(t.Nanosecond())
	return ts
}
