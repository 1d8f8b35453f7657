// SPDX-License-Identifier: Apache-2.0

package image

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// 130 layers that all write the same paths, several of them at a time: the last
// one counts, and one mount takes them all.
func TestManyLayers(t *testing.T) {
	w := newWorld(t)
	const layers = 130
	var tars [][]byte
	for i := range layers {
		tars = append(tars, tarOf(t, file{name: "d/"}, file{name: "d/last", content: fmt.Sprint(i)}, file{name: fmt.Sprintf("d/%d", i), content: "x"}))
	}
	img, err := w.client.Pull(ctx, w.push("deep", "1", build(t, gz, tars...)), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := t.TempDir()
	// By descriptors in the kernel's new way, as a start does.
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	for _, dir := range img.Lowers {
		if err := unix.FsconfigSetString(fs, "lowerdir+", dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mount)
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	if got, err := os.ReadFile(at + "/d/last"); err != nil || string(got) != fmt.Sprint(layers-1) || len(img.Lowers) != layers {
		t.Errorf("%d lowers, the last is %q, %v", len(img.Lowers), got, err)
	}
	if names, err := os.ReadDir(at + "/d"); err != nil || len(names) != layers+1 {
		t.Errorf("%d names, %v", len(names), err)
	}
}

// "peak RSS independent of image size": a process pulls 4 MB, another 128 MB.
func TestPeakMemory(t *testing.T) {
	w := newWorld(t)
	peak := func(repo string, megabytes int) int {
		t.Helper()
		var tars [][]byte
		data := make([]byte, megabytes<<20/4)
		for i := range 4 {
			if _, err := rand.Read(data); err != nil {
				t.Fatal(err)
			}
			tars = append(tars, tarOf(t, file{name: fmt.Sprint(i), content: string(data)}))
		}
		return pullPeak(t, w, w.push(repo, "1", build(t, gz, tars...)), t.TempDir()+"/store")
	}
	small, large := peak("small", 4), peak("large", 128)
	t.Logf("peaks: %d and %d KiB", small, large)
	if large > small+24<<10 || large > 64<<10 {
		t.Errorf("a pull of 4 MB takes %d KiB of memory, of 128 MB %d KiB", small, large)
	}
}

// pullPeak is the most that a process which pulls has in memory, in KiB.
func pullPeak(t *testing.T, w *world, ref, dir string) int {
	t.Helper()
	c := killClient(t, dir)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "UNITC_TEST_PULL="+ref, "UNITC_TEST_STORE="+dir, "UNITC_TEST_WORLD="+w.dir, "UNITC_TEST_POLICY="+c.PolicyFile, "UNITC_TEST_PEAK=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pulling %s: %v", ref, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An index of an index is one too many for nobody; a tower of them is refused.
func TestPullNestedIndexes(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	w.push("a", "1", b)
	docs := map[string][]byte{}
	digest, size, kind := b.digest(), int64(len(b.manifest)), typeOCIManifest
	for depth := 1; depth <= maxIndexDepth+1; depth++ {
		raw := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
			{MediaType: kind, Digest: digest, Size: size, Platform: &platform{Architecture: "amd64", OS: "linux"}},
		}})
		digest, size, kind = digestOf(raw), int64(len(raw)), typeOCIIndex
		docs[fmt.Sprintf("nested%d", depth)], docs[digest] = raw, raw
	}
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		raw := docs[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
		if raw != nil {
			rw.Header().Set("Content-Type", typeOCIIndex)
			rw.Write(raw)
		}
		return raw != nil
	})
	pull := func(depth int) error {
		_, err := w.client.Pull(ctx, fmt.Sprintf("%s/a:nested%d", w.host, depth), PullOptions{Platform: "linux/amd64"})
		return err
	}
	if err := pull(maxIndexDepth); err != nil {
		t.Error(err)
	}
	if err := pull(maxIndexDepth + 1); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Errorf("%d indexes: %v", maxIndexDepth+1, err)
	}
}
