// SPDX-License-Identifier: Apache-2.0

// Package bigimage makes the layers of the image that pulls and starts are
// measured with: files like a distribution's, half of whose bytes compress
// away.
package bigimage

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// Layers of about as many files each, so many in all.
const (
	Layers = 6
	Files  = 10_000
)

// Layer is the tar of one layer of so many bytes, the same each time.
func Layer(layer, size int) ([]byte, error) {
	random := rand.New(rand.NewPCG(1, uint64(layer)))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	count := Files / Layers
	for i := range count {
		dir := fmt.Sprintf("usr/share/layer%d/dir%d/", layer, i/50)
		if i%50 == 0 {
			if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(1700000000, 0)}); err != nil {
				return nil, err
			}
		}
		// Sizes spread as in a distribution: many small files, few large ones.
		length := min(int(float64(size/count)*random.ExpFloat64()), len(noise))
		content := make([]byte, length)
		for at := 0; at < length; at += 64 {
			if random.IntN(2) == 0 {
				from := random.IntN(len(noise) - 64)
				copy(content[at:], noise[from:from+64])
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%sfile%d", dir, i), Mode: 0o644, Size: int64(length), ModTime: time.Unix(1700000000, 0)}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
