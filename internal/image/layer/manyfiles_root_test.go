// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A file of a layer takes no memory that stays, and a layer of more than is
// allowed ends at the limit. A million of them are pulled in package image.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "nr_inodes=1200k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	apply := func(files int, limit int64) (Result, uint64, error) {
		t.Helper()
		at, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		var before, after runtime.MemStats
		r := manyFiles(files)
		defer r.Close()
		runtime.GC()
		runtime.ReadMemStats(&before)
		res, err := Apply(context.Background(), root, r, Options{Limits: Limits{Entries: limit}})
		runtime.GC()
		runtime.ReadMemStats(&after)
		return res, max(after.HeapSys, before.HeapSys) - before.HeapSys, err
	}
	const files = 100_000
	res, grown, err := apply(files, files+1000)
	if err != nil || res.Entries < files || grown > 16<<20 {
		t.Errorf("%d files: %d entries, %d bytes of heap, %v", files, res.Entries, grown, err)
	}
	if _, _, err := apply(20_000, 10_000); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "10000") {
		t.Errorf("more than the limit: %v", err)
	}
}

// manyFiles is a tar of empty files, a thousand in a directory.
func manyFiles(n int) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		for i := range n {
			h := tar.Header{Name: fmt.Sprintf("d%d/f%d", i/1000, i), Mode: 0o644, Typeflag: tar.TypeReg}
			if err := out.WriteHeader(&h); err != nil {
				return // the reader has had enough
			}
		}
		_ = w.CloseWithError(out.Close())
	}()
	return r
}
