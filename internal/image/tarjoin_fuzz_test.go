// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Whatever a storage says that a tar was made of, nothing but its own files
// comes out.
func FuzzTarJoiner(f *testing.F) {
	f.Add([]byte(`{"type":2,"payload":"YWJj","position":0}` + "\n" + `{"type":1,"name":"a","size":1,"payload":"","position":1}`))
	f.Add([]byte(`{"type":1,"name":"link/secret","size":6}`))
	f.Add([]byte(`{"type":1,"name":"../secret","size":6}` + "\n" + `{"type":1,"name_raw":"Li4vc2VjcmV0","size":6}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		top := t.TempDir()
		diff := filepath.Join(top, "diff")
		for _, err := range []error{
			os.Mkdir(diff, 0o700), os.WriteFile(filepath.Join(top, "secret"), []byte("hidden"), 0o600),
			os.WriteFile(filepath.Join(diff, "a"), []byte("1"), 0o600), os.Symlink("..", filepath.Join(diff, "link")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		dir, err := os.Open(diff)
		if err != nil {
			t.Fatal(err)
		}
		j, err := newTarJoiner(io.NopCloser(bytes.NewReader(gz(t, lines))), dir)
		if err != nil {
			return
		}
		defer j.Close()
		out, _ := io.ReadAll(io.LimitReader(j, 1<<20)) // any error is fine
		if bytes.Contains(out, []byte("hidden")) && !bytes.Contains(lines, []byte("aGlkZGVu")) {
			t.Fatalf("%q gives %q", lines, out)
		}
	})
}
