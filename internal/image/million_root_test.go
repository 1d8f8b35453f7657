// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// "1,000,000-file layers": the process that pulls one needs no more memory than
// for any other image. A tenth of them shows what grows; UNITC_LAB_SLOW=1 has
// the time for all.
func TestPullMillionFiles(t *testing.T) {
	files := 100_000
	if os.Getenv("UNITC_LAB_SLOW") != "" {
		files = 1_000_000
	}
	w := newWorld(t)
	b := crowdedImage(t, files)
	ref := w.push("crowded", "1", b)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4g,nr_inodes=1200k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	peak := pullPeak(t, w, ref, dir+"/store")
	img, err := killClient(t, dir+"/store").Store.Resolve(ref)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(img.Lowers[0] + "/d*")
	if err != nil || len(dirs) != files/1000 || read(t, img, fmt.Sprintf("d%d/f%d", files/1000-1, files-1)) != "" {
		t.Errorf("%d directories, %v", len(dirs), err)
	}
	t.Logf("%d files: a peak of %d KiB", files, peak)
	if peak > 64<<10 {
		t.Errorf("a pull of %d files takes %d KiB of memory", files, peak)
	}
}

// crowdedImage has one layer of n empty files, a thousand in a directory. Its
// tar, half a gigabyte for a million, is never in memory.
func crowdedImage(t *testing.T, n int) *built {
	t.Helper()
	var blob bytes.Buffer
	pack, err := gzip.NewWriterLevel(&blob, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	out := tar.NewWriter(io.MultiWriter(pack, sum))
	for i := range n {
		if err := out.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d/f%d", i/1000, i), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []io.Closer{out, pack} {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	layer := blob.Bytes()
	config := marshal(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sum.Sum(nil))}},
	})
	b := &built{config: config, layers: [][]byte{layer}, blobs: map[string][]byte{digestOf(config): config, digestOf(layer): layer}}
	b.manifest = marshal(t, document{
		SchemaVersion: 2, MediaType: typeOCIManifest,
		Config: &descriptor{MediaType: typeOCIConfig, Digest: digestOf(config), Size: int64(len(config))},
		Layers: []descriptor{{MediaType: typeOCILayer + "+gzip", Digest: digestOf(layer), Size: int64(len(layer))}},
	})
	return b
}
