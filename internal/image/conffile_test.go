// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What somebody else may have put where credentials are looked for keeps nobody
// waiting.
func TestReadConf(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("REGISTRY_AUTH_FILE", "")
	path := filepath.Join(dir, "containers/auth.json")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := readConf(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := credentials(context.Background(), "", "localhost", "x"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("of a FIFO: %v", err)
	}
	for target, want := range map[string]string{"/dev/null": "", "/dev/zero": "not a regular file", "/": "not a regular file"} {
		_ = os.Remove(path)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if _, err := readConf(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("of a link to %s: %v, want %q", target, err, want)
		}
	}
	_ = os.Remove(path)
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := readConf(path); err != nil || string(data) != "{}" {
		t.Errorf("of a file: %q, %v", data, err)
	}
}
