// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Unpack lays a tar down below the destination's directory.
func Unpack(ctx context.Context, r io.Reader, d *Destination, o Options) error {
	u := &unpacker{ctx: ctx, dir: d.dir, ids: d.ids, options: o}
	return d.ids.asRoot(func() error {
		archive := tar.NewReader(r)
		for {
			h, err := archive.Next()
			if err == io.EOF {
				// What packs must not be left waiting for a reader.
				if _, err := io.Copy(io.Discard, r); err != nil {
					return err
				}
				return u.finish()
			}
			if err != nil {
				return fmt.Errorf("reading the tar: %w", err)
			}
			if err := u.entry(h, archive); err != nil {
				return err
			}
		}
	})
}

type unpacker struct {
	ctx     context.Context
	dir     *os.File
	ids     *idmap
	options Options
	later   []laterDir
}

// laterDir gets its mode and time once all is in it.
type laterDir struct {
	name string
	h    *tar.Header
}

// beneath is for names that we have made ourselves: no link is followed, so
// none that a container swaps in leads anywhere.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func (u *unpacker) entry(h *tar.Header, data io.Reader) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	name := path.Clean("/" + h.Name)[1:]
	if name == "" {
		name = "."
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return fmt.Errorf("%q in the tar is no name of a file", h.Name)
		}
		return nil // the directory is there, and stays as it is
	}
	parent, err := u.parent(name)
	if err != nil {
		return err
	}
	defer parent.Close()
	e := &entry{u, parent, path.Base(name), u.dir.Name() + "/" + name, h}
	if err := e.replaceable(); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		u.later = append(u.later, laterDir{name, h})
		return e.mkdir()
	case tar.TypeReg:
		return e.regular(data)
	case tar.TypeSymlink:
		return e.node("symlink", func(name string) error { return unix.Symlinkat(h.Linkname, e.parentFD(), name) })
	case tar.TypeLink:
		return e.link()
	case tar.TypeFifo:
		return e.node("mkfifo", func(name string) error { return unix.Mknodat(e.parentFD(), name, unix.S_IFIFO|0o600, 0) })
	case tar.TypeXGlobalHeader:
		return nil
	}
	u.options.Warn(e.shown + " is left out: it is a device or of an unknown kind")
	return nil
}

// parent opens the directory of a name and makes those that are missing: a tar
// need not have entries for them.
func (u *unpacker) parent(name string) (*os.File, error) {
	dir := path.Dir(name)
	f, err := openBelow(u.dir, dir, u.dir.Name()+"/"+dir, unix.O_PATH|unix.O_DIRECTORY, beneath)
	if !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	above, err := u.parent(dir)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := unix.Mkdirat(int(above.Fd()), path.Base(dir), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: u.dir.Name() + "/" + dir, Err: err}
	}
	return openBelow(u.dir, dir, u.dir.Name()+"/"+dir, unix.O_PATH|unix.O_DIRECTORY, beneath)
}

type entry struct {
	*unpacker
	parentDir *os.File
	name      string
	shown     string
	h         *tar.Header
}

func (e *entry) parentFD() int { return int(e.parentDir.Fd()) }

func (e *entry) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: e.shown, Err: err}
}

// replaceable refuses what nobody means to lose: with another file in the place of the
// host's /dev/null much of it fails.
func (e *entry) replaceable() error {
	var st unix.Stat_t
	if err := unix.Fstatat(e.parentFD(), e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil // nothing is there, or what follows says why not
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if e.h.Typeflag == tar.TypeFifo {
			return nil
		}
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFSOCK:
	default:
		return nil
	}
	return fmt.Errorf("%s is a device, a FIFO or a socket, which no copy replaces; name another file, or remove it first", e.shown)
}

func (e *entry) mkdir() error {
	err := unix.Mkdirat(e.parentFD(), e.name, 0o700)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(e.parentFD(), e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
		if err = unix.Unlinkat(e.parentFD(), e.name, 0); err == nil {
			err = unix.Mkdirat(e.parentFD(), e.name, 0o700)
		}
	}
	return e.fail("mkdir", err)
}

// place makes something under a name of its own and renames it, so that the
// wanted name always has the old or the new.
func (e *entry) place(op string, create func(name string) error) error {
	temp := ".unitc-" + rand.Text()[:12]
	if err := create(temp); err != nil {
		return e.fail(op, err)
	}
	err := e.fail("rename", unix.Renameat(e.parentFD(), temp, e.parentFD(), e.name))
	if err != nil {
		_ = unix.Unlinkat(e.parentFD(), temp, 0)
	}
	return err
}

// node places what has no content, with its owner where that is asked for.
func (e *entry) node(op string, create func(name string) error) error {
	uid, gid, err := e.owner()
	if err != nil {
		return err
	}
	return e.place(op, func(name string) error {
		err := create(name)
		if err == nil && uid >= 0 {
			if err = unix.Fchownat(e.parentFD(), name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
				_ = unix.Unlinkat(e.parentFD(), name, 0)
			}
		}
		return err
	})
}

// owner is -1 where the creator's own ids are right.
func (e *entry) owner() (uid, gid int64, err error) {
	if !e.options.Archive {
		return -1, -1, nil
	}
	uid, gid, err = e.ids.toOutside(int64(e.h.Uid), int64(e.h.Gid))
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", e.shown, err)
	}
	return uid, gid, nil
}

// mode has no bits of privilege unless they were asked for: what a container
// calls set-user-ID root would be so on the host.
func (e *entry) mode() uint32 {
	mode := uint32(e.h.Mode & 0o7777)
	if !e.options.Archive {
		mode &= 0o1777
	}
	return mode
}

func (e *entry) link() error {
	target := path.Clean("/" + e.h.Linkname)[1:]
	from, err := openBelow(e.dir, path.Dir(target), e.dir.Name()+"/"+target, unix.O_PATH|unix.O_DIRECTORY, beneath)
	if err != nil {
		return err
	}
	defer from.Close()
	temp := ".unitc-" + rand.Text()[:12]
	if err := unix.Linkat(int(from.Fd()), path.Base(target), e.parentFD(), temp, 0); err != nil {
		return e.fail("link", err)
	}
	err = unix.Renameat(e.parentFD(), temp, e.parentFD(), e.name)
	// A rename of one name of a file to another does nothing (rename(2)).
	_ = unix.Unlinkat(e.parentFD(), temp, 0)
	return e.fail("rename", err)
}

func (e *entry) regular(data io.Reader) error {
	var wrote error
	err := e.place("create", func(name string) error {
		f, err := e.create(name)
		if err != nil {
			return err
		}
		wrote = e.fill(f, data)
		// Some file systems say only now that there is no room (close(2)).
		if err := f.Close(); wrote == nil && err != nil {
			wrote = fmt.Errorf("writing %s: %w", e.shown, err)
		}
		if wrote != nil {
			_ = unix.Unlinkat(e.parentFD(), name, 0)
		}
		return wrote
	})
	if wrote != nil {
		return wrote
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w; it is a mount of its own: write to its source", err)
	}
	return err
}

func (e *entry) create(name string) (*os.File, error) {
	fd, err := unix.Openat(e.parentFD(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), e.shown), nil
}

func (e *entry) fill(f *os.File, data io.Reader) error {
	if _, err := io.Copy(f, &interruptible{e.ctx, data}); err != nil {
		return fmt.Errorf("writing %s: %w", e.shown, err)
	}
	return e.adorn(f)
}

// adorn sets owner, mode and time. The owner comes first: chown(2) takes the
// bits of privilege away.
func (e *entry) adorn(f *os.File) error {
	uid, gid, err := e.owner()
	if err != nil {
		return err
	}
	if uid >= 0 {
		if err := unix.Fchown(int(f.Fd()), int(uid), int(gid)); err != nil {
			return e.fail("chown", err)
		}
	}
	if err := unix.Fchmod(int(f.Fd()), e.mode()); err != nil {
		return e.fail("chmod", err)
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(e.h.ModTime.UnixNano())}
	return e.fail("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0))
}

// finish sets what writing into directories would have changed, the innermost
// first.
func (u *unpacker) finish() error {
	for _, d := range slices.Backward(u.later) {
		f, err := openBelow(u.dir, d.name, u.dir.Name()+"/"+d.name, unix.O_RDONLY|unix.O_DIRECTORY, beneath)
		if err != nil {
			return err
		}
		e := &entry{unpacker: u, shown: f.Name(), h: d.h}
		err = e.adorn(f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
