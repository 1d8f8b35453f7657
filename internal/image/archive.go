// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// bundle is a set of named files to load from: a directory or a tar.
type bundle interface {
	// open gives a regular file and its size.
	open(name string) (section, error)
	close()
}

// section is a file of a bundle.
type section interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
	Size() int64
}

// dirBundle reads a directory that a stranger may have made: os.Root keeps
// every name inside, and only regular files are opened.
type dirBundle struct{ root *os.Root }

func openDirBundle(dir string) (*dirBundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &dirBundle{root: root}, nil
}

func (b *dirBundle) close() { b.root.Close() }

func (b *dirBundle) open(name string) (section, error) {
	f, err := b.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrRefused, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fileSection{File: f, size: st.Size()}, nil
}

type fileSection struct {
	*os.File
	size int64
}

func (f *fileSection) Size() int64 { return f.size }

// tarBundle reads a tar by an index of its entries; nothing is extracted.
type tarBundle struct {
	file  *os.File
	index map[string]tarEntry
}

type tarEntry struct {
	offset, size int64
	link         string
}

// maxArchiveEntries: an image archive has a handful for each layer, with names of a
// hundred bytes; a tar may give one of a megabyte to each.
const (
	maxArchiveEntries = 100_000
	maxArchiveNames   = 16 << 20
)

func openTarBundle(f *os.File) (*tarBundle, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	b := &tarBundle{file: f, index: map[string]tarEntry{}}
	r := tar.NewReader(f)
	names := 0
	for {
		h, err := r.Next()
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		if len(b.index) >= maxArchiveEntries {
			return nil, fmt.Errorf("%w: an archive of more than %d entries", ErrRefused, maxArchiveEntries)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxArchiveNames {
			return nil, fmt.Errorf("%w: an archive with more than %d bytes of names", ErrRefused, maxArchiveNames)
		}
		name := path.Clean("/" + h.Name)[1:]
		switch h.Typeflag {
		case tar.TypeReg:
			// archive/tar reads no further than the header, so this is where
			// the content begins.
			offset, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			b.index[name] = tarEntry{offset: offset, size: h.Size}
		case tar.TypeSymlink:
			b.index[name] = tarEntry{link: path.Join("/", path.Dir(name), h.Linkname)[1:]}
		case tar.TypeLink:
			b.index[name] = tarEntry{link: path.Clean("/" + h.Linkname)[1:]}
		}
	}
}

func (b *tarBundle) close() { b.file.Close() }

// open follows links inside the archive: old docker save writes them for
// repeated layers.
func (b *tarBundle) open(name string) (section, error) {
	for range 10 {
		e, ok := b.index[path.Clean("/" + name)[1:]]
		if !ok {
			return nil, fmt.Errorf("%s in the archive: %w", name, fs.ErrNotExist)
		}
		if e.link == "" {
			return &tarSection{io.NewSectionReader(b.file, e.offset, e.size)}, nil
		}
		name = e.link
	}
	return nil, fmt.Errorf("%w: %s is a link of a link of a link", ErrRefused, name)
}

type tarSection struct{ *io.SectionReader }

func (*tarSection) Close() error { return nil }

// bundleSource gives blobs of a bundle to the assembler.
type bundleSource struct {
	bundle bundle
	// paths are the files of blobs whose name is not their digest.
	paths map[string]string
}

func (s *bundleSource) open(_ context.Context, d descriptor, offset int64) (io.ReadCloser, error) {
	name := s.paths[d.Digest]
	if name == "" {
		name = "blobs/sha256/" + d.hex()
	}
	f, err := s.bundle.open(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readFile reads a small file of a bundle.
func readFile(b bundle, name string) ([]byte, error) {
	f, err := b.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxManifest {
		return nil, fmt.Errorf("%w: %s has %d bytes; %d are allowed", ErrRefused, name, f.Size(), maxManifest)
	}
	return io.ReadAll(f)
}

func (b *tarBundle) has(name string) bool { _, ok := b.index[name]; return ok }

// spool copies a stream, decompressed, to a file without a name in the store,
// which no death can leave behind.
func (c *Client) spool(ctx context.Context, r io.Reader) (*os.File, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("decompressing the archive: %w", err)
	}
	defer plain.Close()
	f, err := c.Store.TempFile()
	if err != nil {
		return nil, err
	}
	for {
		n, err := io.CopyN(f, plain, 16<<20)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = c.Limits.space(c.Store, 0)
		}
		if errors.Is(err, io.EOF) && n < 16<<20 {
			return f, nil
		}
		if err != nil {
			f.Close()
			if errors.Is(err, unix.ENOSPC) {
				err = fmt.Errorf("%w: %w", ErrSpace, err)
			}
			return nil, fmt.Errorf("keeping the archive: %w", err)
		}
	}
}

// isTar tells whether a file is an uncompressed tar.
func isTar(f *os.File) bool {
	magic := make([]byte, 5)
	_, err := f.ReadAt(magic, 257)
	return err == nil && strings.HasPrefix(string(magic), "ustar")
}
