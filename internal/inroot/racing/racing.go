// SPDX-License-Identifier: Apache-2.0

// Package racing is for tests alone: a directory in which others rename all the time,
// for which openat2(2) gives up on a path with ".." in it (EAGAIN).
package racing

import (
	"os"
	"strings"
	"testing"
)

// Dir makes it. "a/link" leads by many ".." to the file b/file; the renames end with the
// test.
func Dir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"/a", "/b"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names := [2]string{dir + "/x", dir + "/y"}
	for _, name := range []string{dir + "/b/file", names[0]} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("../b/", 30)+"file", dir+"/a/link"); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan bool), make(chan bool)
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(names[i%2], names[(i+1)%2])
			}
		}
	}()
	return dir
}
