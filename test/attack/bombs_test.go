// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
)

// bombSize is above what any layer may unpack to that is sent as so little.
const bombSize = 5 << 30

// bombAttacks are layers that are far larger than what the registry sends. Their
// digests are not compared without the protection: they would have to be made.
var bombAttacks = []attack{
	{"bomb-of-zeros", "bombs", "a layer of a few MiB, by gzip or zstd, unpacks to a file that would fill the disk", "layer-limits,verify-digest", nil, "",
		func(t *testing.T, c *target) bool {
			head := header(t, &tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: bombSize})
			packed := slices.Concat(gzipped(t, head, 1), gzipped(t, make([]byte, bombSize/80), 80), gzipped(t, end, 1))
			if c.loose {
				return c.explodes(t, packed, "")
			}
			rle := slices.Concat(zstandard(8<<20, head, 0), zstandard(8<<20, nil, bombSize), zstandard(8<<20, end, 0))
			return c.explodes(t, packed, "may unpack to") || c.explodes(t, rle, "may unpack to")
		}},
	{"absurd-sizes", "bombs", "a file of a layer that has 512 bytes says that it is sparse and of a size without end", "layer-limits,verify-digest", nil, "",
		func(t *testing.T, c *target) bool {
			if c.loose {
				return c.explodes(t, gzipped(t, sparse(t, bombSize), 1), "")
			}
			for _, size := range []int64{bombSize, 1 << 50, 1<<63 - 1} {
				if c.explodes(t, gzipped(t, sparse(t, size), 1), "may unpack to") {
					return true
				}
			}
			// Sizes that do not fit, or are below zero.
			for _, raw := range []uint64{1 << 63, 1<<64 - 1} {
				if c.explodes(t, gzipped(t, sparse(t, int64(raw)), 1), "") {
					return true
				}
			}
			return false
		}},
	{"bomb-behind-the-end", "bombs", "what makes the layer large follows the end of its tar", "layer-limits,verify-digest", nil, "",
		func(t *testing.T, c *target) bool {
			return c.explodes(t, slices.Concat(gzipped(t, end, 1), gzipped(t, make([]byte, 1<<20), 128)), "after the end of the tar")
		}},
	{"window-of-zstd", "bombs", "a layer by zstd wants a window of 512 MiB for a few bytes", "zstd-window", nil, "",
		func(t *testing.T, c *target) bool {
			text := slices.Concat(header(t, plain("file")), end)
			o := offerOf(t, zstandard(512<<20, text, 0), digest(text))
			_, err := c.pullFrom(t, o)
			if err != nil && !strings.Contains(err.Error(), "window size exceeded") {
				t.Errorf("it says %v", err)
			}
			return err == nil
		}},
}

// explodes pulls a bomb, which is to be refused for a reason that contains why.
func (c *target) explodes(t *testing.T, layer []byte, why string) bool {
	t.Helper()
	store, err := c.pullFrom(t, offerOf(t, layer, digest(nil)))
	if err != nil && !strings.Contains(err.Error(), why) {
		t.Errorf("it is refused for another reason: %v", err)
	}
	if err == nil && !c.loose {
		t.Errorf("%s has a bomb", store)
	}
	return err == nil
}

// end is the end of a tar.
var end = make([]byte, 1024)

// header is what stands before a file's content, in whole blocks.
func header(t *testing.T, h *tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(h))
	return append(b.Bytes(), make([]byte, -b.Len()&511)...)
}

// sparse is the tar of a file in GNU's old form for sparse ones: a block of data,
// and a size of which the rest is a hole.
func sparse(t *testing.T, size int64) []byte {
	const kind, sum, place, length, real = 156, 148, 386, 398, 483 // tar.h of GNU tar
	b := header(t, &tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Mode: 0o644, Size: 512, Format: tar.FormatGNU})
	number := func(at int, n int64) {
		binary.BigEndian.PutUint64(b[at+4:], uint64(n))
		b[at] = 0x80
	}
	b[kind] = tar.TypeGNUSparse
	number(place, 0)
	number(length, 512)
	number(real, size)
	copy(b[sum:], "        ")
	total := 0
	for _, c := range b {
		total += int(c)
	}
	copy(b[sum:], fmt.Sprintf("%06o\x00 ", total))
	return slices.Concat(b, make([]byte, 512), end)
}

// gzipped is a text by gzip, several times: members follow each other.
func gzipped(t *testing.T, text []byte, times int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	must(t, errors.Join(err, z.Close()))
	return bytes.Repeat(b.Bytes(), times)
}

// zstandard is a frame (RFC 8878) of a text as it is, and behind it zeros, each
// 128 KiB of them in four bytes.
func zstandard(window int, text []byte, zeros int) []byte {
	const raw, repeated, block = 0, 1, 128 << 10
	b := binary.LittleEndian.AppendUint32(nil, 0xfd2fb528)
	b = append(b, 0, byte(bits.TrailingZeros(uint(window))-10)<<3)
	head := func(kind, size int) { b = append(b, byte(size<<3|kind<<1), byte(size>>5), byte(size>>13)) }
	head(raw, len(text))
	b = append(b, text...)
	for ; zeros > 0; zeros -= block {
		head(repeated, block)
		b = append(b, 0)
	}
	head(raw, 0)
	b[len(b)-3] |= 1 // the last one
	return b
}
