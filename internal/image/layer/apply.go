// SPDX-License-Identifier: Apache-2.0

// Package layer lays the tar of an image layer down in an empty directory, in
// the form that overlayfs mounts: whiteouts become character devices 0:0,
// opaque directories carry an attribute.
//
// The tar comes from a stranger. No path of it is ever given to the kernel:
// directories are entered one component at a time, by descriptor and with
// O_NOFOLLOW, and every symbolic link on the way is resolved here, inside the
// root. What no honest layer has is refused, with the entry's name.
package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/protection"
)

// ErrNeedsLower is returned when an entry cannot be placed without looking at
// the layers below (a parent directory that only they have, a hard link into
// them). The layer is then applied again with Options.Lowers, and belongs to
// that chain of layers instead of to its own content.
var ErrNeedsLower = errors.New("the layer depends on the layers below")

// ErrRefused is the base of the error for an entry that no honest layer has.
var ErrRefused = errors.New("refused")

// Limits end a layer that would exhaust the host. Zero means no limit.
type Limits struct {
	Entries int64
	Bytes   int64 // of the tar, and of the files' contents, holes included
}

// maxDepth is far beyond what is in use (a deep node_modules has 60 levels),
// and below the descriptors a process may have: each level holds one.
const maxDepth = 255

// maxLinks is the kernel's own MAXSYMLINKS.
const maxLinks = 40

// Options are what the caller knows.
type Options struct {
	Limits Limits
	// Below is true when the image has layers below this one.
	Below bool
	// Lowers are the directories of those layers, topmost first; nil makes
	// Apply return ErrNeedsLower when it has to look at them.
	Lowers []*os.File
	// Plain: the tar is of files, not of a layer. Nothing in it is a whiteout.
	Plain bool
	// Space is called now and then; its error ends the layer. It sees to it
	// that an image does not fill the file system to the last byte.
	Space func() error
}

// Result says what was laid down.
type Result struct {
	Entries    int64
	Bytes      int64
	RootOpaque bool
	Root       *Meta    // what the layer says about the root directory itself
	Dependent  bool     // another place among layers would give another result
	LeftOut    []string // entries and attributes not unpacked, with the reason; at most maxLeftOut
}

const maxLeftOut = 50

// Meta is what can be said about any file.
type Meta struct {
	Mode     uint32 // permission, setuid, setgid and sticky bits
	UID, GID int
	MTime    time.Time
	ATime    time.Time
	Xattrs   map[string]string
}

// Apply reads an uncompressed tar to its end of archive and lays it down in
// root, which must be empty and reachable by nobody else.
func Apply(ctx context.Context, root *os.File, r io.Reader, opts Options) (Result, error) {
	if protection.Off("layer-limits") {
		opts.Limits = Limits{}
	}
	a, err := newApply(ctx, root, opts)
	if err != nil {
		return Result{}, err
	}
	defer a.close()
	tr := tar.NewReader(&limitReader{ctx: ctx, r: r, left: opts.Limits.Bytes, limited: opts.Limits.Bytes > 0})
	for {
		h, err := tr.Next()
		if err == io.EOF { // exactly: a source's error may wrap it
			break
		}
		if err != nil {
			return a.res, fmt.Errorf("reading the layer's tar after %d entries: %w", a.res.Entries, err)
		}
		if err := a.entry(h, tr); err != nil {
			return a.res, fmt.Errorf("layer entry %q: %w", short(h.Name), err)
		}
	}
	return a.res, a.finish()
}

// entry places one entry of the tar.
func (a *apply) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // "git archive" writes one; it describes no file
	}
	if err := a.count(h); err != nil {
		return err
	}
	path, err := split(h.Name)
	if err != nil {
		return err
	}
	m, err := a.meta(h)
	if err != nil {
		return err
	}
	if len(path) == 0 {
		return a.rootEntry(h, m)
	}
	parent, name := path[:len(path)-1], path[len(path)-1]
	if h.Typeflag == tar.TypeLink {
		return a.hardLink(parent, name, h.Linkname)
	}
	if err := a.enter(parent); err != nil {
		return err
	}
	if strings.HasPrefix(name, whiteoutPrefix) && !a.opts.Plain {
		return a.whiteout(name)
	}
	a.top().dirty = true
	switch h.Typeflag {
	case tar.TypeDir:
		return a.directory(name, m)
	case tar.TypeReg, tar.TypeGNUSparse, 0, tar.TypeCont:
		return a.file(name, m, h.Size, r)
	case tar.TypeSymlink:
		return a.symlink(name, h.Linkname, m)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return a.node(h, name, m)
	}
	return fmt.Errorf("%w: type %q", ErrRefused, h.Typeflag)
}

// count keeps the limits.
func (a *apply) count(h *tar.Header) error {
	a.res.Entries++
	if l := a.opts.Limits.Entries; l > 0 && a.res.Entries > l {
		return fmt.Errorf("%w: more than %d entries", ErrRefused, l)
	}
	if h.Size < 0 {
		return fmt.Errorf("%w: size %d", ErrRefused, h.Size)
	}
	// Compared so that a sum beyond 2^63 cannot pass.
	if l := a.opts.Limits.Bytes; l > 0 && h.Size > l-a.res.Bytes {
		return fmt.Errorf("%w: %d bytes after %d; the layer may unpack to %d", ErrRefused, h.Size, a.res.Bytes, l)
	}
	a.res.Bytes += h.Size
	a.unchecked += h.Size + 4096
	if a.opts.Space != nil && a.unchecked > 16<<20 {
		a.unchecked = 0
		return a.opts.Space()
	}
	return nil
}

// rootEntry is "./": only what it says of the directory counts.
func (a *apply) rootEntry(h *tar.Header, m Meta) error {
	a.res.Entries-- // an otherwise empty layer is an empty one
	if h.Typeflag != tar.TypeDir {
		return fmt.Errorf("%w: the root of a layer is not a directory (CVE-2021-29136)", ErrRefused)
	}
	a.leaveTo(1)
	a.res.Root = &m
	return nil
}

// split gives the components of an entry's name. A leading slash and "." mean
// nothing; ".." has no honest use.
func split(unsafeName string) ([]string, error) {
	if len(unsafeName) > 4096 {
		return nil, fmt.Errorf("%w: a name of %d bytes", ErrRefused, len(unsafeName))
	}
	if strings.IndexByte(unsafeName, 0) >= 0 {
		return nil, fmt.Errorf("%w: a zero byte in the name", ErrRefused)
	}
	var path []string
	for part := range strings.SplitSeq(unsafeName, "/") {
		switch part {
		case "", ".":
		case "..":
			return nil, fmt.Errorf("%w: %q in the name", ErrRefused, "..")
		default:
			path = append(path, part)
		}
	}
	return path, nil
}

func (a *apply) leaveOut(what, why string) {
	if len(a.res.LeftOut) < maxLeftOut {
		a.res.LeftOut = append(a.res.LeftOut, fmt.Sprintf("%q: %s", short(what), why))
	}
}

// short keeps messages readable when a name is not.
func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// limitReader ends an endless stream and a cancelled one.
type limitReader struct {
	ctx     context.Context
	r       io.Reader
	left    int64
	limited bool
}

func (l *limitReader) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	// Padding and headers may exceed the contents' limit by a little.
	if l.limited && l.left < -(64<<20) {
		return n, fmt.Errorf("%w: the layer unpacks to more than its limit", ErrRefused)
	}
	return n, err
}
