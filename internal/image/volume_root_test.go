// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
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
	var archive bytes.Buffer
	if _, err := ExportVolume(s, "a", &archive); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(archive.String(), "secretsecret") || bytes.Contains(archive.Bytes(), []byte("\x00secret")) {
		t.Error("a link was followed")
	}
	if left, err := ImportVolume(ctx, s, "b", bytes.NewReader(zst(t, archive.Bytes()))); err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	want, have := openDir(t, data), openDir(t, s.VolumeData("b"))
	if found := compareTrees(t, want, have); len(found) > 0 {
		t.Errorf("what came back differs: %v", found)
	}
	if _, err := ImportVolume(ctx, s, "b", bytes.NewReader(archive.Bytes())); err == nil || !strings.Contains(err.Error(), "unitc volume rm") {
		t.Errorf("importing over data: %v", err)
	}
	// Cut off anywhere, or empty, it makes no volume.
	for at := 0; at < archive.Len(); at += 256 {
		whole := archive.Len()-at < 512 && bytes.Count(archive.Bytes()[at-1024:at], []byte{0}) == 1024
		if _, err := ImportVolume(ctx, s, "cut", bytes.NewReader(archive.Bytes()[:at])); err == nil && !whole {
			t.Errorf("%d of %d bytes were taken for all", at, archive.Len())
		}
		if _, err := s.Volume("cut"); err == nil && !whole {
			t.Fatalf("%d of %d bytes: a volume is there", at, archive.Len())
		}
		_ = s.RemoveVolume("cut")
	}
	if _, err := ImportVolume(ctx, s, "c", bytes.NewReader(tarOf(t, file{name: "../x", content: "1"}))); err == nil {
		t.Error("a climbing tar was accepted")
	}
	if _, err := s.Volume("c"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a volume is there: %v", err)
	}
}

// What a volume cannot have is told, on the way in and on the way out.
func TestVolumeSaysWhatIsLeftOut(t *testing.T) {
	s := newClient(t).Store
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 8}, {Name: "forged", Typeflag: tar.TypeChar},
		{Name: "f", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.trusted.x": "1", "SCHILY.acl.access": "user::rwx\nuser:bob:rwx"}},
		{Name: "both", Typeflag: tar.TypeReg, PAXRecords: map[string]string{
			"SCHILY.acl.access": "user::rw-", "SCHILY.xattr.system.posix_acl_access": "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x04\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff",
		}},
	} {
		h.Mode = 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := ImportVolume(ctx, s, "odd", &b)
	for i, want := range []string{`"disk": device node 8:0`, `"forged": device node 0:0`, `"f": a`, `"f": a`} {
		if err != nil || len(left) != 4 || !strings.HasPrefix(left[i], want) {
			t.Fatalf("left out are %q, %v", left, err)
		}
	}
	if all := strings.Join(left, " "); !strings.Contains(all, "trusted.x") || !strings.Contains(all, "tar --xattrs") {
		t.Errorf("left out are %s", all)
	}
	data := s.VolumeData("odd")
	if err := errors.Join(unix.Mknod(data+"/socket", unix.S_IFSOCK|0o600, 0), unix.Mknod(data+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))); err != nil {
		t.Fatal(err)
	}
	left, err = ExportVolume(s, "odd", io.Discard)
	if all := strings.Join(left, " "); err != nil || len(left) != 2 || !strings.Contains(all, `"socket": a socket`) || !strings.Contains(all, `"null": a device`) {
		t.Errorf("an export leaves out %q, %v", left, err)
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
	if _, err := ExportVolume(s, "bound", &b); err != nil || !bytes.Contains(b.Bytes(), []byte("./mine")) {
		t.Errorf("a bound directory: %d bytes, %v", b.Len(), err)
	}
	if _, err := ExportVolume(s, "memory", &b); err == nil {
		t.Error("a file system that is not mounted was exported")
	}
}
