// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// Whatever the bytes, nothing appears beside the root and nothing outside
// changes.
func FuzzApply(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Fatal("unpacking needs root")
	}
	f.Add(archive(f, e("d", "a"), e("l", "a/l", "../../.."), e("f", "a/l/x", "1"), e("h", "h", "/a/l/x"), e("f", ".wh.a")).Bytes())
	f.Add(archive(f, e("l", "l", "/"), e("d", "l/etc"), e("f", "l/.wh..wh..opq")).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		if err := os.WriteFile(filepath.Join(top, "decoy"), []byte("decoy"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(top, "fs"), 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.Open(filepath.Join(top, "fs"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_, _ = Apply(context.Background(), root, bytes.NewReader(data), Options{Limits: Limits{Entries: 1000, Bytes: 1 << 20}}) // any error is fine
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Fatalf("beside the root lies %v, %v", entries, err)
		}
		if got, err := os.ReadFile(filepath.Join(top, "decoy")); err != nil || string(got) != "decoy" {
			t.Fatalf("the decoy is %q, %v", got, err)
		}
	})
}
