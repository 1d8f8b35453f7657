// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"context"
	"encoding/binary"
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
	// Whole packs one file system alone, with the capabilities of programs: of what is
	// mounted in it there is the place.
	Whole bool
	// Warn is told what was left out.
	Warn func(what string)
}

// Pack writes the source as a tar whose first entry has the name as.
func Pack(ctx context.Context, w io.Writer, src *Source, as string, o Options) error {
	p := &packer{ctx: ctx, tar: tar.NewWriter(w), ids: src.ids, options: o, links: map[inode]string{}}
	if o.Whole {
		var err error
		if p.mount, err = mountOf(src.file); err != nil {
			return err
		}
	}
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
	mount   uint64 // the one that is packed, of Options.Whole
}

// mountOf is the mount that a handle is on (statx(2)).
func mountOf(file *os.File) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, &os.PathError{Op: "statx", Path: file.Name(), Err: err}
	}
	return st.Mnt_id, nil
}

// isMount tells whether something else is mounted there.
func (p *packer) isMount(file *os.File) (bool, error) {
	if !p.options.Whole {
		return false, nil
	}
	mount, err := mountOf(file)
	return mount != p.mount, err
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
	mounted, err := p.isMount(file)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		if mounted {
			h.Mode, h.Uid, h.Gid = 0o755, 0, 0 // what is below it is not known
		}
		if err := p.tar.WriteHeader(h); err != nil || mounted {
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
		if mounted {
			h.Typeflag, h.Mode, h.Uid, h.Gid = tar.TypeReg, 0o644, 0, 0
			return p.tar.WriteHeader(h)
		}
		return p.regular(file, st, h)
	}
	if mounted {
		return nil
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
	if p.options.Whole {
		if value := p.capability(f); value != "" {
			h.PAXRecords = map[string]string{"SCHILY.xattr." + capabilityName: value}
		}
	}
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

const capabilityName = "security.capability"

// capability gives a program's, as the container's root knows them: seen from here they
// may name that root by its id outside (capabilities(7), "File capability versioning").
func (p *packer) capability(f *os.File) string {
	const (
		version2, length2 = 0x02000000, 20
		version3, length3 = 0x03000000, 24
		versions          = 0xff000000
	)
	value := make([]byte, 64)
	n, err := unix.Fgetxattr(int(f.Fd()), capabilityName, value)
	if err != nil || n < length2 {
		return ""
	}
	value = value[:n]
	magic := binary.LittleEndian.Uint32(value)
	if magic&versions != version3 || n != length3 {
		return string(value)
	}
	if root, _ := p.ids.toInside(int64(binary.LittleEndian.Uint32(value[length2:])), 0); root != 0 {
		return ""
	}
	binary.LittleEndian.PutUint32(value, magic&^versions|version2)
	return string(value[:length2])
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
