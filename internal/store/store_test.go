// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/reference"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir() + "/store")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hex(n int) string { return fmt.Sprintf("%064x", n) }

func parse(t *testing.T, name string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// addLayer commits a layer with one file.
func addLayer(t *testing.T, s *Store, key string, info LayerInfo) {
	t.Helper()
	lock, err := s.Acquire(context.Background(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	l, err := s.StageLayer(lock)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.FS(), "file"), []byte(key), 0o644); err != nil {
		t.Fatal(err)
	}
	l.Info = info
	if err := s.Commit(l); err != nil {
		t.Fatal(err)
	}
}

// addImage records image n of the layers under the names.
func addImage(t *testing.T, s *Store, n int, layers []int, names ...string) Image {
	t.Helper()
	img := Image{Digest: "sha256:" + hex(n), ID: "sha256:" + hex(n+1000)}
	for _, l := range layers {
		if !s.HasLayer(hex(l)) {
			addLayer(t, s, hex(l), LayerInfo{DiffID: "sha256:" + hex(l), Entries: 1, Bytes: 64})
		}
		img.Layers = append(img.Layers, Layer{Key: hex(l), DiffID: "sha256:" + hex(l), Blob: "sha256:" + hex(l+2000), Size: 10})
	}
	var entries []Name
	for _, name := range names {
		entries = append(entries, NewName(parse(t, name), img.Digest, time.Unix(1, 0)))
	}
	if err := s.PutImage(img, entries...); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestResolve(t *testing.T) {
	s := open(t)
	if _, err := s.Resolve("nginx"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "unitc pull docker.io/library/nginx:latest") {
		t.Fatalf("an empty store gives %v", err)
	}
	addImage(t, s, 0xabc, []int{1, 2}, "nginx:1.27", "quay.io/x/y")
	for _, ref := range []string{"nginx:1.27", "docker.io/library/nginx:1.27", "quay.io/x/y", "sha256:" + hex(0xabc), hex(0xabc), hex(0xabc + 1000), "nginx@sha256:" + hex(0xabc)} {
		img, err := s.Resolve(ref)
		if err != nil {
			t.Errorf("Resolve(%q): %v", ref, err)
			continue
		}
		want := []string{s.dir + "/layers/" + hex(2) + "/fs", s.dir + "/layers/" + hex(1) + "/fs"}
		if fmt.Sprint(img.Lowers) != fmt.Sprint(want) {
			t.Errorf("Resolve(%q) has lowers %v, want %v", ref, img.Lowers, want)
		}
	}
	for _, ref := range []string{"nginx", "sha256:" + hex(9), "quay.io/x/y:other", "abcdef"} {
		if _, err := s.Resolve(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Resolve(%q): %v, want ErrNotFound", ref, err)
		}
	}
	if _, err := s.Resolve("a/../b"); !errors.Is(err, reference.ErrInvalid) {
		t.Errorf("Resolve of a bad name: %v", err)
	}
	if _, err := os.Stat(NamePath(s.dir, parse(t, "nginx:1.27"))); err != nil {
		t.Errorf("the condition path: %v", err)
	}
}

func TestShortNameAlias(t *testing.T) {
	s := open(t)
	img := addImage(t, s, 1, []int{1}, "quay.io/org/tool")
	err := s.PutImage(img, NewAlias(parse(t, "tool"), parse(t, "quay.io/org/tool"), img.Digest, time.Unix(1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Resolve("tool"); err != nil || got.Digest != img.Digest {
		t.Errorf("Resolve(tool) = %s, %v", got.Digest, err)
	}
	if _, err := s.Resolve("docker.io/library/tool"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the alias answers for a full name: %v", err)
	}
}

// Of a way back that an earlier version has written down, the digest is that of the image
// that was gone back from, and its name does not go by that.
func TestNameOfAnEarlierWayBack(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1}, "app")
	addImage(t, s, 2, []int{2})
	index := "sha256:" + hex(99)
	err := s.ChangeName(parse(t, "app"), func(n *Name) { n.Target, n.Rejected = index, "sha256:"+hex(2) })
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.LookupName(parse(t, "app")); err != nil || n.Target != "" || n.Image != "sha256:"+hex(1) {
		t.Errorf("the name is %+v, %v", n, err)
	}
	if img, err := s.Resolve("app@" + index); !errors.Is(err, ErrNotFound) {
		t.Errorf("by the digest there is %s, %v", img.Digest, err)
	}
}

func TestLowers(t *testing.T) {
	s := open(t)
	addLayer(t, s, hex(1), LayerInfo{Entries: 3, Root: &Attr{Mode: 0o700, UID: 7}})
	addLayer(t, s, hex(2), LayerInfo{})
	addLayer(t, s, hex(3), LayerInfo{Entries: 1, RootOpaque: true})
	addLayer(t, s, hex(4), LayerInfo{Entries: 1})
	for i, tc := range []struct {
		layers []int
		want   string
		mode   uint32
	}{
		{[]int{1, 2, 4}, "4 1", 0o700},
		{[]int{2, 2}, "2", 0o755},
		{[]int{4, 1, 4}, "4 1", 0o700}, // the upper one of two
		{[]int{1, 3, 4}, "4 3", 0o755}, // nothing shows below an opaque root
	} {
		addImage(t, s, 100+i, tc.layers, "x")
		img, err := s.Resolve("x")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range img.Lowers {
			got = append(got, strings.TrimLeft(filepath.Base(filepath.Dir(l)), "0"))
		}
		if strings.Join(got, " ") != tc.want || img.Root.Mode != tc.mode {
			t.Errorf("layers %v: lowers %v, mode %o; want %s, %o", tc.layers, got, img.Root.Mode, tc.want, tc.mode)
		}
	}
	var many []int
	for i := range 501 {
		addLayerFast(t, s, hex(10000+i))
		many = append(many, 10000+i)
	}
	img := Image{Digest: "sha256:" + hex(77)}
	for _, l := range many {
		img.Layers = append(img.Layers, Layer{Key: hex(l)})
	}
	if err := s.PutImage(img); err == nil || !strings.Contains(err.Error(), "501 layers") {
		t.Errorf("501 layers: %v", err)
	}
	img.Layers = img.Layers[1:]
	if err := s.PutImage(img); err != nil {
		t.Errorf("500 layers: %v", err)
	}
}

// addLayerFast is addLayer without its syncs.
func addLayerFast(t *testing.T, s *Store, key string) {
	t.Helper()
	dir := s.path("layers", key)
	if err := os.MkdirAll(dir+"/fs", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/layer.json", []byte(`{"entries":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCollectKeepsWhatIsNeeded(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1, 2}, "a")
	addImage(t, s, 2, []int{1, 3}, "b")
	addLayer(t, s, hex(4), LayerInfo{}) // of no image
	for _, b := range []int{1, 1001, 2001, 2002, 2003, 5555} {
		if err := s.PutBlob(hex(b), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Collect(Prune{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Layers) != 1 || len(got.Blobs) != 1 || len(got.Images) != 0 || s.HasLayer(hex(4)) || s.HasBlob(hex(5555)) {
		t.Errorf("the first collection removed %+v", got)
	}
	if _, err := s.RemoveImage("a", false); err != nil {
		t.Fatal(err)
	}
	if s.HasLayer(hex(2)) || !s.HasLayer(hex(1)) || !s.HasLayer(hex(3)) {
		t.Error("removing a took a shared layer or left its own")
	}
	if got, err = s.Collect(Prune{Blobs: true}); err != nil || s.HasBlob(hex(2001)) || !s.HasLayer(hex(1)) {
		t.Errorf("pruning blobs: %+v, %v", got, err)
	}
	if _, err := s.Resolve("b"); err != nil {
		t.Error(err)
	}
}

func TestPrune(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1}, "a")
	addImage(t, s, 2, []int{2}, "a") // 1 is dangling now
	addImage(t, s, 3, []int{3}, "running")
	if _, err := s.Use("running", "", "web.service"); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Collect(Prune{}); len(got.Images) != 0 {
		t.Errorf("a plain collection removed %v", got.Images)
	}
	if got, _ := s.Collect(Prune{Dangling: true, DryRun: true}); len(got.Images) != 1 || len(got.Layers) != 1 || !s.HasLayer(hex(1)) {
		t.Errorf("a dry run: %+v", got)
	}
	if got, err := s.Collect(Prune{Dangling: true}); err != nil || len(got.Images) != 1 || s.HasLayer(hex(1)) {
		t.Errorf("prune: %+v, %v", got, err)
	}
	if _, err := s.RemoveImage("running", false); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "web.service") {
		t.Errorf("removing an image in use: %v", err)
	}
	if _, err := s.Collect(Prune{All: true}); err != nil {
		t.Fatal(err)
	}
	if s.HasLayer(hex(2)) || !s.HasLayer(hex(3)) {
		t.Error("prune --all kept an unused image or took a used one")
	}
	if _, err := s.RemoveImage("running", true); err != nil || !s.HasLayer(hex(3)) {
		t.Errorf("forced removal of a name: %v", err)
	}
	if err := errors.Join(s.Unuse("web.service"), s.Unuse("web.service")); err != nil {
		t.Error(err)
	}
	if _, err := s.Collect(Prune{Dangling: true}); err != nil || s.HasLayer(hex(3)) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestCollectStagedAndLeases(t *testing.T) {
	s := open(t)
	lease, err := s.NewLease()
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Hold("layers/" + hex(1)); err != nil {
		t.Fatal(err)
	}
	addLayer(t, s, hex(1), LayerInfo{})
	alive, _ := s.Acquire(context.Background(), hex(2), nil)
	if _, err := s.StageLayer(alive); err != nil {
		t.Fatal(err)
	}
	dead, _ := s.Acquire(context.Background(), hex(3), nil)
	if _, err := s.StageLayer(dead); err != nil {
		t.Fatal(err)
	}
	dead.Unlock()
	blob, err := s.StageBlob(hex(4))
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	if _, err := s.Collect(Prune{}); err != nil {
		t.Fatal(err)
	}
	left, _ := readDir(s.path("staging"))
	if fmt.Sprint(left) != fmt.Sprint([]string{"blob-" + hex(4), "layer-" + hex(2)}) || !s.HasLayer(hex(1)) {
		t.Errorf("staging holds %v", left)
	}
	lease.Release()
	alive.Unlock()
	if _, err := s.Collect(Prune{Partial: true}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"staging", "leases", "locks", "trash", "layers"} {
		if left, _ := readDir(s.path(dir)); len(left) != 0 {
			t.Errorf("%s holds %v", dir, left)
		}
	}
}

func TestCollectRefusesWhatItCannotRead(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1}, "a")
	if err := os.WriteFile(s.imagePath(hex(1)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(Prune{All: true}); err == nil || !s.HasLayer(hex(1)) {
		t.Errorf("collecting beside an unreadable image: %v", err)
	}
}

func TestOrphanedNameGoes(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1}, "a")
	if err := os.Remove(s.imagePath(hex(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(Prune{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(NamePath(s.dir, parse(t, "a"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name of a lost image stays: %v", err)
	}
}

func TestUpper(t *testing.T) {
	s := open(t)
	u, err := s.Upper("web.service", Attr{Mode: 0o1755, MTime: time.Unix(5, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(u.Dir); st.Mode() != os.ModeDir|os.ModeSticky|0o755 || !st.ModTime().Equal(time.Unix(5, 0)) {
		t.Errorf("mode %v, time %v", st.Mode(), st.ModTime())
	}
	if err := os.WriteFile(u.Dir+"/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upper("web.service", Attr{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(u.Dir + "/x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a fresh upper has an old file: %v", err)
	}
	for n := range 2 {
		kept, err := s.KeptUpper(t.Context(), "web.service", Attr{Mode: 0o755})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(kept.Dir+"/x", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.WriteString("x"); err == nil {
			err = f.Close()
		}
		if data, _ := os.ReadFile(kept.Dir + "/x"); err != nil || len(data) != n+1 {
			t.Fatalf("start %d finds %q, %v", n, data, err)
		}
		if err := s.RemoveUpper("web.service"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.Volumes(); err != nil || len(all) != 1 || all[0].Unit != "web.service" {
		t.Errorf("the kept upper is no volume: %+v, %v", all, err)
	}
	for _, unit := range []string{"", "..", "a/b", ".x", "a\nb", strings.Repeat("a", 300)} {
		if _, err := s.Upper(unit, Attr{}); err == nil {
			t.Errorf("unit name %q was accepted", unit)
		}
	}
}

// What units have left that have ended is taken away, and nothing else.
func TestSweep(t *testing.T) {
	s := open(t)
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	addImage(t, s, 1, []int{1}, "a/b")
	for _, unit := range []string{"ended.service", "runs.service"} {
		if _, err := s.Use("a/b", "", unit); err != nil {
			t.Fatal(err)
		}
		u, err := s.Upper(unit, Attr{Mode: 0o755})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(u.Dir+"/x", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A sweep that was killed, and somebody else's.
	for _, name := range []string{"upper-1/y", "volumes-1/y", "layers-1/y"} {
		if err := os.MkdirAll(s.path("trash", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.over = func(unit string) bool { return unit == "ended.service" }
	users, err := s.Users()
	if err != nil || len(users) != 1 || !slices.Equal(slices.Concat(slices.Collect(maps.Values(users))...), []string{"runs.service"}) {
		t.Errorf("before it is swept up the image is used by %v, %v", users, err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{s.path("containers"): "runs.service", s.runDir: "runs.service", s.path("trash"): "layers-1"} {
		if got, err := readDir(dir); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s has %q, not %s (%v)", dir, got, want, err)
		}
	}
	if _, err := os.Stat(s.path("containers", "runs.service", "upper", "x")); err != nil {
		t.Error(err)
	}
}

// A disk that was just mounted at the store's place has nothing in it.
func TestEmptyDirectory(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.NewLease()
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	addImage(t, s, 1, []int{1}, "a/b")
	if _, err := s.Resolve("a/b"); err != nil {
		t.Error(err)
	}
}

func TestModes(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1}, "a/b")
	if _, err := s.Use("a/b", "", "u.service"); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == s.dir || strings.Contains(path, "/fs/") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Pulls, uses, removals and collections of one store at once: what a name means
// is always whole.
func TestConcurrentUse(t *testing.T) {
	s := open(t)
	addImage(t, s, 1, []int{1, 2}, "base")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			own, _ := Open(s.dir)
			for i := range 15 {
				if w == 0 {
					if _, err := own.Collect(Prune{Dangling: true}); err != nil {
						t.Errorf("collecting: %v", err)
					}
					continue
				}
				churn(t, own, w, i)
			}
		})
	}
	wg.Wait()
	if img, err := s.Resolve("base"); err != nil {
		t.Error(err)
	} else {
		checkWhole(t, img)
	}
}

func churn(t *testing.T, s *Store, w, i int) {
	lease, err := s.NewLease()
	if err != nil {
		t.Error(err)
		return
	}
	defer lease.Release()
	n, key := 100*w+i%3, hex(50+i%3)
	if err := lease.Hold("layers/"+key, "layers/"+hex(1)); err != nil {
		t.Error(err)
		return
	}
	lock, err := s.Acquire(context.Background(), key, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if !s.HasLayer(key) {
		l, err := s.StageLayer(lock)
		if err == nil {
			l.Info = LayerInfo{Entries: 1}
			err = s.Commit(l)
		}
		if err != nil {
			t.Error(err)
		}
	}
	lock.Unlock()
	name := fmt.Sprintf("img%d", w)
	img := Image{Digest: "sha256:" + hex(n), Layers: []Layer{{Key: hex(1)}, {Key: key}}}
	if err := s.PutImage(img, NewName(parse(t, name), img.Digest, time.Unix(1, 0))); err != nil {
		t.Error(err)
	}
	if got, err := s.Use(name, "", name+".service"); err != nil {
		t.Error(err)
	} else {
		checkWhole(t, got)
	}
}

func checkWhole(t *testing.T, img Image) {
	for _, l := range img.Lowers {
		if _, err := os.Stat(l); err != nil {
			t.Errorf("image %s: %v", img.Digest, err)
		}
	}
}
