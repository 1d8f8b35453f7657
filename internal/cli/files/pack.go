// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a copy.
type Options struct {
	// Archive keeps owners, by their ids inside the container, and the bits of
	// privilege in modes.
	Archive bool
	// Warn is told what was left out.
	Warn func(what string)
}

// Pack writes the source as a tar whose first entry has the name as.
func Pack(ctx context.Context, w io.Writer, src *Source, as string, o Options) error {
	p := &packer{ctx: ctx, tar: tar.NewWriter(w), ids: src.ids, options: o, links: map[inode]string{}}
	if err := p.add(src.file, &src.stat, as); err != nil {
		return err
	}
	return p.tar.Close()
}

type inode struct{ dev, ino uint64 }

type packer struct {
	ctx     context.Context
	tar     *tar.Writer
	ids     *idmap
	options Options
	links   map[inode]string
}

// add writes one object, which file is an O_PATH handle of.
func (p *packer) add(file *os.File, st *unix.Stat_t, name string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	uid, gid := p.ids.toInside(int64(st.Uid), int64(st.Gid))
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(uid), Gid: int(gid),
		ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		if err := p.tar.WriteHeader(h); err != nil {
			return err
		}
		return p.children(file, name)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(file.Fd()), "", target)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: file.Name(), Err: err}
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, string(target[:n])
		return p.tar.WriteHeader(h)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
		return p.tar.WriteHeader(h)
	case unix.S_IFREG:
		return p.regular(file, st, h)
	}
	p.options.Warn(file.Name() + " is left out: it is a device or a socket")
	return nil
}

func (p *packer) regular(file *os.File, st *unix.Stat_t, h *tar.Header) error {
	id := inode{uint64(st.Dev), st.Ino}
	if first, ok := p.links[id]; ok && st.Nlink > 1 {
		h.Typeflag, h.Linkname = tar.TypeLink, first
		return p.tar.WriteHeader(h)
	}
	if st.Nlink > 1 {
		p.links[id] = h.Name
	}
	// The handle is of a regular file, so that opening it once more for reading
	// waits for nobody.
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(int(file.Fd())))
	if err != nil {
		return fmt.Errorf("open %s: %w", file.Name(), errors.Unwrap(err))
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.tar, io.LimitReader(&interruptible{p.ctx, f}, st.Size))
	if err != nil {
		return fmt.Errorf("reading %s: %w", file.Name(), err)
	}
	if n < st.Size {
		// It became shorter meanwhile; the header has promised its size.
		p.options.Warn(file.Name() + " became shorter while it was copied; its end is zeros")
		_, err = io.CopyN(p.tar, zeros{}, st.Size-n)
	}
	return err
}

func (p *packer) children(dir *os.File, name string) error {
	readable, err := openBelow(dir, "", dir.Name(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	names, err := readable.Readdirnames(-1)
	readable.Close()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, child := range names {
		shown := dir.Name() + "/" + child
		// One name, no link followed, so there is no way out of the directory.
		file, err := openBelow(dir, child, shown, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err = unix.Fstat(int(file.Fd()), &st); err == nil {
			err = p.add(file, &st, name+"/"+child)
		}
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// interruptible ends a copy of a large file with its context.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r *interruptible) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
