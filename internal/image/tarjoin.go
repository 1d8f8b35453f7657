// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
)

// tarJoiner makes a tar again of the files it was unpacked to and the rest of
// its bytes: headers and padding, as github.com/vbatts/tar-split keeps them, a
// JSON object on each line.
type tarJoiner struct {
	skeleton io.Closer
	gzip     *gzip.Reader
	lines    *bufio.Scanner
	files    *os.File // the directory
	piece    io.Reader
	file     *os.File // that piece reads
	left     int64    // bytes that file has yet to give
}

// skeletonLine is storage.Entry of tar-split.
type skeletonLine struct {
	Type    int    `json:"type"`
	Name    string `json:"name"`
	NameRaw []byte `json:"name_raw"` // where the name is no UTF-8
	Size    int64  `json:"size"`
	Payload []byte `json:"payload"` // for a file its CRC, which the digest of the whole makes needless
}

const (
	skeletonFile    = 1
	skeletonSegment = 2
)

// maxSegment: what follows the end of a tar is one segment, too.
const maxSegment = 2 * maxPadding

// newTarJoiner closes both when it is closed, or fails.
func newTarJoiner(skeleton io.ReadCloser, files *os.File) (*tarJoiner, error) {
	z, err := gzip.NewReader(skeleton)
	if err != nil {
		return nil, errors.Join(err, skeleton.Close(), files.Close())
	}
	j := &tarJoiner{skeleton: skeleton, gzip: z, lines: bufio.NewScanner(z), files: files, piece: bytes.NewReader(nil)}
	j.lines.Buffer(nil, maxSegment)
	return j, nil
}

// Close lets the files go.
func (j *tarJoiner) Close() error {
	j.closeFile()
	return errors.Join(j.gzip.Close(), j.skeleton.Close(), j.files.Close())
}

func (j *tarJoiner) closeFile() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// Read gives the next bytes of the tar.
func (j *tarJoiner) Read(p []byte) (int, error) {
	for {
		n, err := j.piece.Read(p)
		j.left -= int64(n)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		if j.file != nil && j.left > 0 {
			return 0, fmt.Errorf("%w: %s is %d bytes shorter than it was", ErrRefused, j.file.Name(), j.left)
		}
		j.closeFile()
		if err := j.next(); err != nil {
			return 0, err
		}
	}
}

func (j *tarJoiner) next() error {
	if !j.lines.Scan() {
		if err := j.lines.Err(); err != nil {
			return fmt.Errorf("%w: the description of the layer's tar: %w", ErrRefused, err)
		}
		return io.EOF
	}
	var l skeletonLine
	if err := json.Unmarshal(j.lines.Bytes(), &l); err != nil {
		return fmt.Errorf("%w: the description of the layer's tar: %w", ErrRefused, err)
	}
	switch {
	case l.Type == skeletonSegment:
		j.piece = bytes.NewReader(l.Payload)
	case l.Type != skeletonFile:
		return fmt.Errorf("%w: the description of the layer's tar has a line of type %d", ErrRefused, l.Type)
	case l.Size > 0: // a directory, a link, a deletion: the header says it all
		return j.openFile(l)
	}
	return nil
}

// openFile stays inside the directory as a container's own lookup would:
// parents may be links.
func (j *tarJoiner) openFile(l skeletonLine) error {
	name := l.Name
	if len(l.NameRaw) > 0 {
		name = string(l.NameRaw)
	}
	fd, err := inroot.Open(int(j.files.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return fmt.Errorf("opening %q in the layer: %w", name, err)
	}
	j.file = os.NewFile(uintptr(fd), name)
	st, err := j.file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %q in the layer is not a regular file", ErrRefused, name)
	}
	j.piece, j.left = io.LimitReader(j.file, l.Size), l.Size
	return err
}
