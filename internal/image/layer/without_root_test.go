// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// withoutAttributes does something on a thread that has a file system without
// attributes whose names begin with a prefix: setting one gives EOPNOTSUPP.
func withoutAttributes(t *testing.T, prefix string, do func()) {
	t.Helper()
	answer := func(args [6]uint64) unix.Errno {
		if strings.HasPrefix(textAt(t, args[1]), prefix) {
			return unix.EOPNOTSUPP
		}
		return 0
	}
	if err := seccomptest.Ask([]string{"fsetxattr"}, answer, func() error { do(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// textAt reads a string of this process's own memory.
func textAt(t *testing.T, address uint64) string {
	t.Helper()
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 16)
	if _, err := f.ReadAt(b, int64(address)); err != nil {
		t.Error(err)
	}
	text, _, _ := strings.Cut(string(b), "\x00")
	return text
}

// A file system without attributes of users, as tmpfs before Linux 6.6: the mount
// shows the same, and what an image wanted of them is told. One without file
// capabilities is refused: the programs would be others.
func TestWithoutAttributes(t *testing.T) {
	lower := t.TempDir()
	if err := errors.Join(os.Mkdir(lower+"/hidden", 0o755), os.WriteFile(lower+"/hidden/below", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	mine := e("f", "hidden/file", "x")
	mine.PAXRecords = map[string]string{"SCHILY.xattr.user.mine": "1"}
	entries := []*tar.Header{e("d", "hidden"), e("f", "hidden/.wh..wh..opq"), mine}
	look := func() (names []string, res Result) {
		dir, res, err := unpack(t, Options{Below: true}, entries...)
		if err != nil {
			t.Error(err)
			return nil, res
		}
		at := t.TempDir()
		if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, fmt.Sprintf("lowerdir=%s:%s", dir, lower)); err != nil {
			t.Error(err)
			return nil, res
		}
		defer unix.Unmount(at, unix.MNT_DETACH)
		names, err = filepath.Glob(at + "/hidden/*")
		for i := range names {
			names[i] = filepath.Base(names[i])
		}
		if err != nil {
			t.Error(err)
		}
		return names, res
	}
	with, all := look()
	withoutAttributes(t, "user.", func() {
		without, res := look()
		if fmt.Sprint(with) != "[file]" || fmt.Sprint(without) != fmt.Sprint(with) {
			t.Errorf("the mount shows %q with and %q without them", with, without)
		}
		if len(all.LeftOut) != 0 || len(res.LeftOut) != 1 || !strings.Contains(res.LeftOut[0], "user.mine") {
			t.Errorf("left out: %q with and %q without them", all.LeftOut, res.LeftOut)
		}
	})
	capable := e("f", "ping", "x")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}
	if _, _, err := unpack(t, Options{}, capable); err != nil {
		t.Error(err)
	}
	withoutAttributes(t, "security.", func() {
		if _, _, err := unpack(t, Options{}, capable); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("a file capability that cannot be had: %v", err)
		}
	})
}
