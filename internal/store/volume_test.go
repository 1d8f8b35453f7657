// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// tree writes files: "name" with content, "name/" a directory, "name>target" a
// link, "name!" a whiteout, "name*" an opaque directory.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		var err error
		path := filepath.Join(dir, strings.TrimRight(f, "/!*"))
		switch {
		case strings.HasSuffix(f, "/"):
			err = os.Mkdir(path, 0o755)
		case strings.HasSuffix(f, "!"):
			err = unix.Mknod(path, unix.S_IFCHR, 0)
		case strings.HasSuffix(f, "*"):
			err = errors.Join(os.Mkdir(path, 0o755), unix.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0))
		case strings.Contains(f, ">"):
			name, to, _ := strings.Cut(f, ">")
			err = os.Symlink(to, filepath.Join(dir, name))
		default:
			err = os.WriteFile(path, []byte(f+" of "+filepath.Base(dir)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func seeded(t *testing.T, s *Store, path string, lowers ...string) []string {
	t.Helper()
	name := "v" + strings.ReplaceAll(path, "/", "_")
	_, err := s.EnsureVolume(context.Background(), Volume{Name: name}, &Seed{Image: &Image{Lowers: lowers}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	root := s.VolumeData(name)
	err = filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if p != root {
			found = append(found, strings.TrimPrefix(p, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestVolumeSeed(t *testing.T) {
	s := open(t)
	low := tree(t, "data/", "data/a", "data/gone", "data/sub/", "data/sub/x", "data/hidden/", "data/hidden/x", "link>data", "file", "up>../../../data", "loop>loop", "evil>/../../../../../../etc")
	mid := tree(t, "data/", "data/gone!", "data/b", "data/hidden*", "data/hidden/y")
	top := tree(t, "data/", "data/sub/", "data/sub/z")
	if err := errors.Join(os.Chown(top+"/data", 5, 6), unix.Chmod(top+"/data", 0o2770), os.Link(low+"/data/a", low+"/data/a2")); err != nil {
		t.Fatal(err)
	}
	want := "a a2 b hidden hidden/y sub sub/x sub/z"
	for _, path := range []string{"/data", "/link", "/up", "/data/../link/."} {
		if got := strings.Join(seeded(t, s, path, top, mid, low), " "); got != want {
			t.Errorf("%s gives %q, want %q", path, got, want)
		}
	}
	var a, a2, d unix.Stat_t
	if err := errors.Join(unix.Stat(s.VolumeData("v_data")+"/a", &a), unix.Stat(s.VolumeData("v_data")+"/a2", &a2), unix.Stat(s.VolumeData("v_data"), &d)); err != nil {
		t.Fatal(err)
	}
	if a.Ino != a2.Ino || d.Mode&0o7777 != 0o2770 || d.Uid != 5 || d.Gid != 6 {
		t.Errorf("links %d and %d, mode %o, owner %d:%d", a.Ino, a2.Ino, d.Mode, d.Uid, d.Gid)
	}
	for _, path := range []string{"/nothing", "/file", "/file/x", "/evil", "/"} {
		if got := seeded(t, s, path, top, mid, low); len(got) > 0 {
			t.Errorf("%s gives %q, want nothing", path, got)
		}
	}
	if _, err := s.EnsureVolume(context.Background(), Volume{Name: "loop"}, &Seed{Image: &Image{Lowers: []string{low}}, Path: "/loop"}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
	if left, _ := readDir(s.path("staging")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestVolumeLife(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	if _, err := s.Volume("db"); !errors.Is(err, ErrNotFound) {
		t.Errorf("before: %v", err)
	}
	v, err := s.EnsureVolume(ctx, Volume{Name: "db", Labels: map[string]string{"a": "b"}}, nil)
	if err != nil || v.Labels["a"] != "b" {
		t.Fatal(err)
	}
	seed := &Seed{Image: &Image{Lowers: []string{tree(t, "d/", "d/new")}}, Path: "/d"}
	if v, err = s.EnsureVolume(ctx, Volume{Name: "db"}, seed); err != nil || v.Labels["a"] != "b" {
		t.Errorf("seeding an empty volume: %+v, %v", v, err)
	}
	if err := os.WriteFile(s.VolumeData("db")+"/mine", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.VolumeData("db") + "/new"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnsureVolume(ctx, Volume{Name: "db"}, seed); err != nil {
		t.Fatal(err)
	}
	if left, _ := readDir(s.VolumeData("db")); len(left) != 1 || left[0] != "mine" {
		t.Errorf("a used volume was seeded: %v", left)
	}
	if _, err := s.Collect(Prune{All: true, Partial: true}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Volumes(); err != nil || len(all) != 1 {
		t.Errorf("after a collection: %v, %v", all, err)
	}
	if err := s.RemoveVolume("db"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveVolume("db"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing it twice: %v", err)
	}
	for _, bad := range []string{"", ".", "..", "a/b", "-a", ".a", "a\n", strings.Repeat("a", 201)} {
		if _, err := s.EnsureVolume(ctx, Volume{Name: bad}, nil); err == nil {
			t.Errorf("the name %q was accepted", bad)
		}
	}
}

// A volume that containers may have mounted is never replaced, however empty
// it is; one that was only created is filled at its first use.
func TestVolumeInUseIsNotReplaced(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	seed := &Seed{Image: &Image{Lowers: []string{tree(t, "d/", "d/new")}}, Path: "/d"}
	used := Volume{Name: "x", Used: true}
	if _, err := s.EnsureVolume(ctx, used, nil); err != nil {
		t.Fatal(err)
	}
	mounted, err := os.Open(s.VolumeData("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer mounted.Close()
	if _, err := s.EnsureVolume(ctx, used, seed); err != nil {
		t.Fatal(err)
	}
	var before, after unix.Stat_t
	if err := errors.Join(unix.Fstat(int(mounted.Fd()), &before), unix.Stat(s.VolumeData("x"), &after)); err != nil {
		t.Fatal(err)
	}
	if before.Ino != after.Ino {
		t.Error("the directory of a volume in use was replaced")
	}
	if _, err := s.EnsureVolume(ctx, Volume{Name: "y"}, nil); err != nil {
		t.Fatal(err)
	}
	v, err := s.EnsureVolume(ctx, Volume{Name: "y", Used: true}, seed)
	if entries, _ := readDir(s.VolumeData("y")); err != nil || !v.Used || len(entries) != 1 {
		t.Errorf("at its first use a created volume has %v: %+v, %v", entries, v, err)
	}
	if v, err := s.Volume("y"); err != nil || !v.Used {
		t.Errorf("its use was not noted: %+v, %v", v, err)
	}
}

func TestVolumeConcurrently(t *testing.T) {
	s := open(t)
	seed := &Seed{Image: &Image{Lowers: []string{tree(t, "d/", "d/one", "d/two")}}, Path: "/d"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			own, _ := Open(s.dir)
			if _, err := own.EnsureVolume(context.Background(), Volume{Name: "x"}, seed); err != nil {
				t.Error(err)
			}
			if got, err := readDir(own.VolumeData("x")); err != nil || len(got) != 2 {
				t.Errorf("a volume was seen with %v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestMountOf(t *testing.T) {
	s := open(t)
	for _, tc := range []struct {
		options map[string]string
		want    string
	}{
		{nil, "bind " + s.VolumeData("v") + " rbind"},
		{map[string]string{"type": "none", "o": "bind,ro", "device": "/srv/x/"}, "bind /srv/x bind,ro"},
		{map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=10m,uid=1000"}, "tmpfs tmpfs size=10m,uid=1000"},
		{map[string]string{"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/export"}, "nfs :/export addr=10.0.0.1,rw"},
		{map[string]string{"type": "none", "o": "bind", "device": "srv"}, ""},
		{map[string]string{"type": "nfs"}, ""},
		{map[string]string{"o": "x"}, ""},
		{map[string]string{"speed": "x"}, ""},
		{map[string]string{"size": "1048576"}, "bind " + s.VolumeData("v") + " rbind"},
		{map[string]string{"size": "1m"}, ""},
		{map[string]string{"size": "1"}, ""},
		{map[string]string{"size": "1048576", "type": "tmpfs"}, ""},
	} {
		m, err := s.MountOf(Volume{Name: "v", Options: tc.options})
		got := m.Type + " " + m.Source + " " + strings.Join(m.Options, ",")
		if (tc.want == "") != (err != nil) || tc.want != "" && got != tc.want {
			t.Errorf("%v: %q, %v", tc.options, got, err)
		}
	}
	if _, err := s.MountOf(Volume{Name: "v", Driver: "rexray"}); err == nil {
		t.Error("a foreign driver was accepted")
	}
	if a, b := AnonymousName("web@1.service", "/data"), AnonymousName("web@1.service", "/other"); a == b || CheckVolumeName(a) != nil || a != AnonymousName("web@1.service", "/data") {
		t.Errorf("%q, %q", a, b)
	}
}

// Where directories cannot be limited, a volume with a size is not made; how it
// is where they can is tested in test/vm, on a kernel with project quotas.
func TestSizeWithoutQuota(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "unitc-") // a tmpfs has none
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := s.EnsureVolume(ctx, Volume{Name: "v", Options: map[string]string{"size": "1048576"}}, nil); !errors.Is(err, ErrNoQuota) {
		t.Errorf("a volume with a size: %v", err)
	}
	for _, sub := range []string{"volumes", "staging"} {
		if left, err := os.ReadDir(dir + "/" + sub); err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", sub, left, err)
		}
	}
	v, err := s.EnsureVolume(ctx, Volume{Name: "v"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resize(ctx, "v", "1048576"); !errors.Is(err, ErrNoQuota) {
		t.Errorf("a size for a volume without: %v", err)
	}
	if have, err := s.Volume("v"); err != nil || len(have.Options) > 0 || have.Project != 0 {
		t.Errorf("after that it is %+v, %v", have, err)
	}
	if _, limited, err := s.VolumeUsage(v); limited || err != nil {
		t.Errorf("it is limited: %v, %v", limited, err)
	}
}

func TestSameButSize(t *testing.T) {
	of := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		a, b map[string]string
		same bool
	}{
		{nil, nil, true}, {nil, of("size", "1"), true}, {of("size", "2"), of("size", "1"), true},
		{of("type", "tmpfs"), nil, false}, {nil, of("type", "tmpfs"), false}, {of("type", "a", "size", "1"), of("type", "b", "size", "1"), false},
	} {
		if SameButSize(tc.a, tc.b) != tc.same {
			t.Errorf("%v and %v: %v", tc.a, tc.b, !tc.same)
		}
	}
}
