// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/store"
)

// ImportVolume makes a volume from a tar, compressed or not. It is seen with
// all of it or not at all. A volume with data in it is left alone. leftOut is what a
// volume cannot have, each with the reason.
func ImportVolume(ctx context.Context, s *store.Store, name string, r io.Reader) (leftOut []string, err error) {
	done := false
	fill := func(dir string) error {
		done = true
		root, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		plain, err := decompress(r)
		if err != nil {
			return err
		}
		defer plain.Close()
		whole := &wholeTar{r: plain}
		res, err := layer.Apply(ctx, root, bufferTar(whole), layer.Options{Plain: true, Space: func() error { return DefaultLimits().space(s, 0) }})
		leftOut = res.LeftOut
		if err == nil {
			err = whole.finish()
		}
		return err
	}
	if _, err := s.EnsureVolume(ctx, store.Volume{Name: name}, &store.Seed{Fill: fill}); err != nil {
		return nil, err
	}
	if !done {
		return nil, fmt.Errorf("importing volume %s: it has data already; remove it with `unitc volume rm` first", name)
	}
	return leftOut, nil
}

// wholeTar sees whether a tar has its end, two blocks of zeros, which what reads tars
// does not ask for: one that was cut off between two files, or that nothing was written
// to as its writer failed, would be taken for all that there was.
type wholeTar struct {
	r    io.Reader
	last [2 * 512]byte
	size int64
}

func (w *wholeTar) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.size += int64(n)
	if n >= len(w.last) {
		copy(w.last[:], p[n-len(w.last):n])
	} else if n > 0 {
		copy(w.last[:], w.last[n:])
		copy(w.last[len(w.last)-n:], p[:n])
	}
	return n, err
}

// finish reads what is behind the end, which archivers fill their last block with.
func (w *wholeTar) finish() error {
	if _, err := io.Copy(io.Discard, w); err != nil {
		return fmt.Errorf("reading the tar: %w", err)
	}
	if w.size < int64(len(w.last)) || w.last != [len(w.last)]byte{} {
		return errors.New("the tar has no end: it was cut off, or what was to write it failed")
	}
	return nil
}

// ExportVolume writes a volume as a tar with owners, times and attributes. A
// running container may change the files meanwhile, and its links lead
// nowhere: os.Root keeps every step inside.
func ExportVolume(s *store.Store, name string, w io.Writer) (leftOut []string, err error) {
	v, err := s.Volume(name)
	if err != nil {
		return nil, err
	}
	m, err := s.MountOf(v)
	if err != nil {
		return nil, err
	}
	if m.Type != "bind" {
		return nil, fmt.Errorf("exporting volume %s: a file system of type %s; read it where it is mounted", name, m.Type)
	}
	root, err := os.OpenRoot(m.Source)
	if err != nil {
		return nil, fmt.Errorf("exporting volume %s: %w", name, err)
	}
	defer root.Close()
	e := &exporter{root: root, w: tar.NewWriter(w), links: map[[2]uint64]string{}}
	if err := e.entry("."); err != nil {
		return nil, fmt.Errorf("exporting volume %s: %w", name, err)
	}
	return e.leftOut, e.w.Close()
}

type exporter struct {
	root    *os.Root
	w       *tar.Writer
	links   map[[2]uint64]string
	leftOut []string
}

// mostLeftOut are named.
const mostLeftOut = 50

func (e *exporter) leaveOut(name, why string) {
	if len(e.leftOut) < mostLeftOut {
		e.leftOut = append(e.leftOut, fmt.Sprintf("%q: %s", name, why))
	}
}

func (e *exporter) entry(name string) error {
	info, err := e.root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it went meanwhile
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("lstat %s gives no stat", name)
	}
	h := &tar.Header{
		Name: "./" + strings.TrimPrefix(name, "./"), Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return e.dir(name, h)
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = e.root.Readlink(name); err != nil {
			return err
		}
		return e.w.WriteHeader(h)
	case unix.S_IFREG:
		return e.file(name, h, [2]uint64{st.Dev, st.Ino}, st.Nlink > 1)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
		return e.w.WriteHeader(h)
	}
	why := "a device belongs to its host"
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		why = "a socket belongs to its process"
	}
	e.leaveOut(name, why)
	return nil
}

func (e *exporter) dir(name string, h *tar.Header) error {
	d, err := e.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(h.Name, ".")
	if h.Name != "./" {
		h.Name += "/"
	}
	if h.PAXRecords, err = exportXattrs(d); err != nil {
		return err
	}
	if err := e.w.WriteHeader(h); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := e.entry(path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) file(name string, h *tar.Header, id [2]uint64, linked bool) error {
	h.Typeflag = tar.TypeReg
	if first := e.links[id]; first != "" {
		h.Typeflag, h.Linkname = tar.TypeLink, first
		return e.w.WriteHeader(h)
	}
	f, err := e.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s changed its kind meanwhile", name)
	}
	if linked {
		e.links[id] = h.Name
	}
	h.Size = info.Size()
	if h.PAXRecords, err = exportXattrs(f); err != nil {
		return err
	}
	if err := e.w.WriteHeader(h); err != nil {
		return err
	}
	// A file that grows is cut at the size in its header; one that shrinks is
	// an error of the writer.
	_, err = io.Copy(e.w, io.LimitReader(f, h.Size))
	return err
}

func exportXattrs(f *os.File) (map[string]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(int(f.Fd()), list)
	if err != nil {
		return nil, err
	}
	var out map[string]string
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(int(f.Fd()), name, value)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]string{}
		}
		out["SCHILY.xattr."+name] = string(value[:n])
	}
	return out, nil
}
