// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	layers = 6
	files  = 10_000
)

// push puts an image of so many megabytes into the registry: gzip, as registries
// hold most images, and with files like a distribution's, half of whose bytes
// compress away.
func push(ref string, megabytes int) error {
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return err
	}
	for i := range layers {
		data, err := layerTar(i, megabytes<<20/layers)
		if err != nil {
			return err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return err
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return err
		}
	}
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(to, image)
}

func layerTar(layer, size int) ([]byte, error) {
	random := rand.New(rand.NewPCG(1, uint64(layer)))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	count := files / layers
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
