// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
)

// meta reads what a header says of any file.
func (a *apply) meta(h *tar.Header) (Meta, error) {
	m := Meta{Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, MTime: h.ModTime, ATime: h.AccessTime}
	// -1 would mean "leave as it is" to chown(2); larger numbers wrap to it.
	if uint64(h.Uid) >= 1<<32-1 || uint64(h.Gid) >= 1<<32-1 {
		return m, fmt.Errorf("%w: owner %d:%d; ids end at 4294967294", ErrRefused, h.Uid, h.Gid)
	}
	if m.ATime.IsZero() {
		m.ATime = m.MTime
	}
	xattrs, err := a.xattrs(h)
	m.Xattrs = xattrs
	return m, err
}

// place runs create, and again after removing what an earlier entry of the
// same layer left under that name: the last one counts.
func (a *apply) place(name string, create func(dirFD int) error) error {
	d := a.top()
	d.dirty = true
	err := create(d.fd)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := removeAll(d.fd, name); err != nil {
		return fmt.Errorf("replacing %q: %w", name, err)
	}
	return create(d.fd)
}

// file writes a regular file. The order matters: chown(2) clears setuid bits
// and file capabilities, a write changes the time.
func (a *apply) file(name string, m Meta, size int64, r io.Reader) error {
	fd := -1
	err := a.place(name, func(dirFD int) (err error) {
		fd, err = unix.Openat(dirFD, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return fmt.Errorf("creating a file: %w", err)
	}
	defer unix.Close(fd)
	if err := a.content(fd, size, r); err != nil {
		return err
	}
	return a.setFile(fd, &m)
}

func (a *apply) setFile(fd int, m *Meta) error {
	if err := unix.Fchown(fd, m.UID, m.GID); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	if err := unix.Fchmod(fd, m.Mode); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	if err := a.setXattrs(fd, m.Xattrs); err != nil {
		return err
	}
	return futimens(fd, m.times())
}

// holeSize is the unit in which zeros become holes.
const holeSize = 4096

var zeros [holeSize]byte

// content copies size bytes; blocks of zeros become holes, so that a sparse
// file stays one and a bomb of zeros fills no disk.
func (a *apply) content(fd int, size int64, r io.Reader) error {
	var offset, end int64
	for offset < size {
		buf := a.buf[:min(int64(len(a.buf)), size-offset)]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("reading %d bytes at %d: %w", len(buf), offset, err)
		}
		written, err := writeData(fd, buf, offset)
		if err != nil {
			return fmt.Errorf("writing %d bytes at %d: %w", len(buf), offset, err)
		}
		end = max(end, written)
		offset += int64(len(buf))
	}
	if end == size {
		return nil
	}
	// The end is a hole.
	if err := unix.Ftruncate(fd, size); err != nil {
		return fmt.Errorf("ftruncate to %d: %w", size, err)
	}
	return nil
}

// writeData writes the runs of blocks that are not all zeros, and tells where
// the last one ends. Only the first word of an ordinary block is looked at.
func writeData(fd int, buf []byte, offset int64) (end int64, err error) {
	start := 0
	write := func(to int) error {
		if start == to {
			return nil
		}
		end = offset + int64(to)
		return pwrite(fd, buf[start:to], offset+int64(start))
	}
	for i := 0; i < len(buf); i += holeSize {
		block := buf[i:min(i+holeSize, len(buf))]
		if !bytes.Equal(block, zeros[:len(block)]) {
			continue
		}
		if err := write(i); err != nil {
			return end, err
		}
		start = i + len(block)
	}
	err = write(len(buf))
	return end, err
}

func pwrite(fd int, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

func (a *apply) symlink(name, target string, m Meta) error {
	if target == "" {
		return fmt.Errorf("%w: a symbolic link without a target", ErrRefused)
	}
	err := a.place(name, func(dirFD int) error { return unix.Symlinkat(target, dirFD, name) })
	if err != nil {
		return fmt.Errorf("creating a symbolic link: %w", err)
	}
	return a.setNode(name, &m)
}

// harmless are the devices that may be in a layer: every container gets its
// own of them anyway. Any other node would be a way to the host's hardware,
// and 0:0 a forged whiteout.
var harmless = map[[2]int64]string{
	{1, 3}: "null", {1, 5}: "zero", {1, 7}: "full", {1, 8}: "random", {1, 9}: "urandom",
	{5, 0}: "tty", {5, 1}: "console", {5, 2}: "ptmx",
}

func (a *apply) node(h *tar.Header, name string, m Meta) error {
	mode, dev := uint32(unix.S_IFIFO), 0
	if h.Typeflag != tar.TypeFifo {
		if _, ok := harmless[[2]int64{h.Devmajor, h.Devminor}]; (!ok || h.Typeflag == tar.TypeBlock) && !protection.Off("layer-files") {
			a.leaveOut(h.Name, fmt.Sprintf("device node %d:%d", h.Devmajor, h.Devminor))
			return nil
		}
		if mode = unix.S_IFCHR; h.Typeflag == tar.TypeBlock {
			mode = unix.S_IFBLK
		}
		dev = int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
	}
	err := a.place(name, func(dirFD int) error { return unix.Mknodat(dirFD, name, mode|0o600, dev) })
	if errors.Is(err, unix.EPERM) && realm.Own() != nil && mode != unix.S_IFIFO {
		return nil // a user makes no devices, and root file systems are mounted without
	}
	if err != nil {
		return fmt.Errorf("mknod %o %d:%d: %w", mode, h.Devmajor, h.Devminor, err)
	}
	// Not a symbolic link: mknod(2) has just made it where nobody else writes.
	if err := a.setNode(name, &m); err != nil {
		return err
	}
	return unix.Fchmodat(a.top().fd, name, m.Mode, 0)
}

// setNode gives owner and time to what has no descriptor to write to.
func (a *apply) setNode(name string, m *Meta) error {
	fd := a.top().fd
	if err := unix.Fchownat(fd, name, m.UID, m.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	if err := unix.UtimesNanoAt(fd, name, m.times(), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("utimensat: %w", err)
	}
	return nil
}

// hardLink links an earlier file of the image. An absolute target is one
// inside the root (kaniko writes such).
func (a *apply) hardLink(parent []string, name, unsafeTarget string) error {
	path, err := split(unsafeTarget)
	if err != nil {
		return fmt.Errorf("hard link target %q: %w", short(unsafeTarget), err)
	}
	if len(path) == 0 {
		return fmt.Errorf("%w: a hard link to the root", ErrRefused)
	}
	if err := a.enter(path[:len(path)-1]); err != nil {
		return fmt.Errorf("hard link target %q: %w", short(unsafeTarget), err)
	}
	target := path[len(path)-1]
	if err := a.linkable(target); err != nil {
		return fmt.Errorf("hard link target %q: %w", short(unsafeTarget), err)
	}
	targetDir, err := unix.FcntlInt(uintptr(a.top().fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	defer unix.Close(targetDir)
	if err := a.enter(parent); err != nil {
		return err
	}
	if sameEntry(targetDir, target, a.top().fd, name) {
		return nil // a link to itself: replacing it first would lose it
	}
	err = a.place(name, func(dirFD int) error { return unix.Linkat(targetDir, target, dirFD, name, 0) })
	if err != nil {
		return fmt.Errorf("linking to %q: %w", short(unsafeTarget), err)
	}
	return nil
}

// linkable sees to it that the top has a file of that name to link to; one
// that only the lowers have is copied up, as overlayfs would.
func (a *apply) linkable(name string) error {
	st, err := lstat(a.top().fd, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return a.copyUp(name)
	case err != nil:
		return err
	case isWhiteout(&st):
		return unix.ENOENT
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("%w: it is a directory", ErrRefused)
	}
	return nil
}

func sameEntry(aFD int, a string, bFD int, b string) bool {
	x, err := lstat(aFD, a)
	if err != nil {
		return false
	}
	y, err := lstat(bFD, b)
	return err == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// removeAll removes one entry and, of a directory, all below it; links are
// removed and never followed.
func removeAll(dirFD int, name string) error {
	err := unix.Unlinkat(dirFD, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	fd, err := openDir(dirFD, name)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, n := range names {
			if err := removeAll(fd, n); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return unix.Unlinkat(dirFD, name, unix.AT_REMOVEDIR)
		}
		if err != nil {
			return err
		}
		if _, err := d.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}
