// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/store"
)

func TestVolumeExportImport(t *testing.T) {
	s := newClient(t).Store
	if _, err := s.EnsureVolume(ctx, store.Volume{Name: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	data := s.VolumeData("a")
	outside := filepath.Join(t.TempDir(), "secret")
	err := errors.Join(
		os.WriteFile(outside, []byte("secret"), 0o600),
		os.Mkdir(data+"/d", 0o750), os.WriteFile(data+"/d/.wh.kept", []byte("no whiteout"), 0o640), os.Chown(data+"/d/.wh.kept", 7, 8),
		os.Link(data+"/d/.wh.kept", data+"/hard"), os.Symlink(outside, data+"/link"), unix.Mkfifo(data+"/fifo", 0o600),
		unix.Setxattr(data+"/hard", "user.note", []byte("x"), 0), unix.Chmod(data, 0o2775),
	)
	if err != nil {
		t.Fatal(err)
	}
	var tar bytes.Buffer
	if err := ExportVolume(s, "a", &tar); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(tar.String(), "secretsecret") || bytes.Contains(tar.Bytes(), []byte("\x00secret")) {
		t.Error("a link was followed")
	}
	if err := ImportVolume(ctx, s, "b", bytes.NewReader(zst(t, tar.Bytes()))); err != nil {
		t.Fatal(err)
	}
	want, have := openDir(t, data), openDir(t, s.VolumeData("b"))
	if found := compareTrees(t, want, have); len(found) > 0 {
		t.Errorf("what came back differs: %v", found)
	}
	if err := ImportVolume(ctx, s, "b", bytes.NewReader(tar.Bytes())); err == nil || !strings.Contains(err.Error(), "unitc volume rm") {
		t.Errorf("importing over data: %v", err)
	}
	// Cut off anywhere, or empty, it makes no volume.
	for at := 0; at < tar.Len(); at += 256 {
		whole := tar.Len()-at < 512 && bytes.Count(tar.Bytes()[at-1024:at], []byte{0}) == 1024
		if err := ImportVolume(ctx, s, "cut", bytes.NewReader(tar.Bytes()[:at])); err == nil && !whole {
			t.Errorf("%d of %d bytes were taken for all", at, tar.Len())
		}
		if _, err := s.Volume("cut"); err == nil && !whole {
			t.Fatalf("%d of %d bytes: a volume is there", at, tar.Len())
		}
		_ = s.RemoveVolume("cut")
	}
	if err := ImportVolume(ctx, s, "c", bytes.NewReader(tarOf(t, file{name: "../x", content: "1"}))); err == nil {
		t.Error("a climbing tar was accepted")
	}
	if _, err := s.Volume("c"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a volume is there: %v", err)
	}
}

func TestMounted(t *testing.T) {
	s := newClient(t).Store
	if _, err := s.EnsureVolume(ctx, store.Volume{Name: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	if users, err := store.Mounted(s.VolumeData("a")); err != nil || len(users) != 0 {
		t.Errorf("unused: %v, %v", users, err)
	}
	target := t.TempDir()
	if err := unix.Mount(s.VolumeData("a"), target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	if users, err := store.Mounted(s.VolumeData("a")); err != nil || len(users) != 1 {
		t.Errorf("mounted: %v, %v", users, err)
	}
}

// A directory of the host that stands for a volume is exported, another file
// system is not mounted for it.
func TestExportOfOtherVolumes(t *testing.T) {
	s, err := store.Open(t.TempDir() + "/store")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/mine", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]map[string]string{"bound": {"type": "none", "o": "bind", "device": dir}, "memory": {"type": "tmpfs"}} {
		if _, err := s.EnsureVolume(ctx, store.Volume{Name: name, Options: options}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := ExportVolume(s, "bound", &b); err != nil || !bytes.Contains(b.Bytes(), []byte("./mine")) {
		t.Errorf("a bound directory: %d bytes, %v", b.Len(), err)
	}
	if err := ExportVolume(s, "memory", &b); err == nil {
		t.Error("a file system that is not mounted was exported")
	}
}
