// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/store"
)

// ErrSpace is the base of the error for an image that would fill the disk.
var ErrSpace = errors.New("not enough space")

// Limits bound what one image may take.
type Limits struct {
	LayerSize int64 // bytes of one compressed layer
	Entries   int64 // files in one layer
	// Ratio bounds what a layer unpacks to, in multiples of its compressed
	// size. gzip reaches 1,032; programs and texts stay below 20.
	Ratio int64
	// Unpacked is allowed whatever the ratio: a sparse file packs very well.
	Unpacked int64
	// Reserve is what stays free on the file system: bytes, and where that is
	// more than a twentieth of it, a twentieth.
	Reserve int64
}

// DefaultLimits are far above any honest image.
func DefaultLimits() Limits {
	return Limits{LayerSize: 64 << 30, Entries: 4_000_000, Ratio: 200, Unpacked: 4 << 30, Reserve: 256 << 20}
}

func (l Limits) layer(compressed int64) layer.Limits {
	return layer.Limits{Entries: l.Entries, Bytes: max(l.Unpacked, compressed*l.Ratio)}
}

// space tells whether need bytes fit and leave the reserve.
func (l Limits) space(s *store.Store, need int64) error {
	free, total, err := s.FreeBytes()
	if err != nil {
		return err
	}
	if reserve := min(l.Reserve, total/20); free-need < reserve {
		return fmt.Errorf("%w: %s has %s free, %s more are needed and %s stay in reserve; `unitc prune` removes unused images",
			ErrSpace, s.Dir(), FormatBytes(free), FormatBytes(need), FormatBytes(reserve))
	}
	return nil
}

// FormatBytes prints a size for people: 41.3 MB.
func FormatBytes(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for v >= 999.95 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.1f %cB", v, units[i])
}

// bufferTar lets the decompressor and the hash work on large pieces, where
// archive/tar reads blocks of 512 bytes.
func bufferTar(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 128<<10) }
