// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/store"
)

var ctx = context.Background()

func simple(t testing.TB) *built {
	return build(t, gz, tarOf(t, file{name: "bin/"}, file{name: "bin/app", content: "app 1"}, file{name: "etc/"}, file{name: "etc/conf", content: "old"}),
		tarOf(t, file{name: "etc/"}, file{name: "etc/conf", content: "new"}))
}

func TestPull(t *testing.T) {
	for name, pack := range map[string]func(testing.TB, []byte) []byte{"gzip": gz, "zstd": zst, "plain": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := build(t, pack, tarOf(t, file{name: "a", content: "1"}), tarOf(t, file{name: "b", content: "2"}), tarOf(t), tarOf(t, file{name: "a", content: "3"}))
			img, err := w.client.Pull(ctx, w.push("org/app", "1", b), PullOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if read(t, img, "a") != "3" || read(t, img, "b") != "2" || img.Digest != b.digest() || img.ID != digestOf(b.config) || len(img.Lowers) != 3 {
				t.Errorf("image %+v", img)
			}
			c := img.Config
			if fmt.Sprint(c.Env) != "[PATH=/bin]" || c.WorkingDir != "/app" || fmt.Sprint(c.Volumes) != "[/data /etc]" || fmt.Sprint(c.ExposedPorts) != "[80/tcp]" {
				t.Errorf("config %+v", c)
			}
			if left := leftovers(t, w.client.Store, "staging", "leases", "trash"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			before := w.requests("")
			if _, err := w.client.Pull(ctx, w.host+"/org/app:1", PullOptions{}); err != nil || w.requests("") != before {
				t.Errorf("a present image was asked for: %v", err)
			}
		})
	}
}

func TestPullByDigestAndShared(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	w.push("a", "1", b)
	img, err := w.client.Pull(ctx, w.host+"/a@"+b.digest(), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := build(t, gz, tarOf(t, file{name: "bin/"}, file{name: "bin/app", content: "app 1"}, file{name: "etc/"}, file{name: "etc/conf", content: "old"}), tarOf(t, file{name: "x", content: "y"}))
	img2, err := w.client.Pull(ctx, w.push("b", "1", other), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if img.Lowers[1] != img2.Lowers[1] {
		t.Error("a common layer is not shared")
	}
	if n := w.requests("blobs/" + digestOf(b.layers[0])); n != 1 {
		t.Errorf("the common layer was fetched %d times", n)
	}
}

func TestPullIndex(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	w.push("a", "amd", b)
	index := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: typeOCIManifest, Digest: "sha256:" + strings.Repeat("0", 64), Size: 10, Platform: &platform{Architecture: "unknown", OS: "unknown"}},
		{MediaType: typeOCIManifest, Digest: b.digest(), Size: int64(len(b.manifest)), Platform: &platform{Architecture: "amd64", OS: "linux"}},
	}})
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/a/manifests/multi") {
			return false
		}
		rw.Header().Set("Content-Type", typeOCIIndex)
		rw.Write(index)
		return true
	})
	img, err := w.client.Pull(ctx, w.host+"/a:multi", PullOptions{Platform: "linux/amd64"})
	if err != nil || img.Digest != b.digest() {
		t.Fatalf("%s, %v", img.Digest, err)
	}
	_, err = w.client.Pull(ctx, w.host+"/a:multi", PullOptions{Platform: "linux/s390x"})
	if err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("for another platform: %v", err)
	}
	if got, err := w.client.Store.Resolve(w.host + "/a@" + digestOf(index)); err != nil || got.Digest != img.Digest {
		t.Errorf("by the digest of the index: %v", err)
	}
}

// Two platforms of one name are here at once: whoever asks for one gets it, and
// neither pull takes the other's name away.
func TestPullTwoPlatforms(t *testing.T) {
	w := newWorld(t)
	here := simple(t)
	there := build(t, gz, tarOf(t, file{name: "app", content: "there"}))
	w.push("a", "here", here)
	w.push("a", "there", there)
	foreign := "linux/riscv64"
	index := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: typeOCIManifest, Digest: here.digest(), Size: int64(len(here.manifest)), Platform: &platform{Architecture: runtime.GOARCH, OS: "linux"}},
		{MediaType: typeOCIManifest, Digest: there.digest(), Size: int64(len(there.manifest)), Platform: &platform{Architecture: "riscv64", OS: "linux"}},
	}})
	asked := 0
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/a/manifests/multi") {
			return false
		}
		asked++
		rw.Header().Set("Content-Type", typeOCIIndex)
		rw.Write(index)
		return true
	})
	s, name := w.client.Store, w.host+"/a:multi"
	check := func(when, platform string, want *built) {
		t.Helper()
		if img, err := s.ResolveFor(name, platform); err != nil || img.Digest != want.digest() {
			t.Errorf("%s: the image for %q is %s, %v", when, platform, img.Digest, err)
		}
	}
	for _, platform := range []string{foreign, "", "riscv64"} {
		if _, err := w.client.Pull(ctx, name, PullOptions{Platform: platform, Policy: PullMissing}); err != nil {
			t.Fatal(err)
		}
		if platform == foreign {
			// Nobody has asked for this machine's: a command finds the one there is, a start none.
			if img, err := s.Resolve(name); err != nil || img.Digest != there.digest() {
				t.Errorf("the only image is %s, %v", img.Digest, err)
			}
			if _, err := s.ResolveFor(name, ""); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("this machine's before its pull: %v", err)
			}
		}
	}
	if asked != 2 {
		t.Errorf("the registry was asked %d times", asked)
	}
	for range 2 {
		check("both pulled", "", here)
		check("both pulled", foreign, there)
		if _, err := s.Collect(store.Prune{Dangling: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.client.Pull(ctx, name, PullOptions{Platform: foreign, Policy: PullAlways}); err != nil {
		t.Fatal(err)
	}
	check("one pulled again", "", here)
	if _, err := s.RemoveImage(name, false); err != nil {
		t.Fatal(err)
	}
	check("this machine's removed", foreign, there)
	if _, err := s.RemoveImage(name, false); err != nil {
		t.Fatal(err)
	}
	if images, err := s.Images(); err != nil || len(images) != 0 {
		t.Errorf("%d images are left, %v", len(images), err)
	}
}

// A layer whose parents are only in the layers below gets their looks.
func TestPullDependentLayer(t *testing.T) {
	w := newWorld(t)
	base := tarOf(t, file{name: "usr/"}, file{name: "usr/lib/"}, file{name: "lib", link: "usr/lib"})
	top := tarOf(t, file{name: "lib/so", content: "x"})
	img, err := w.client.Pull(ctx, w.push("a", "1", build(t, gz, base, top)), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if read(t, img, "usr/lib/so") != "x" {
		t.Error("the file is not behind the link")
	}
	// The same layer as the lowest of another image is another tree.
	img, err = w.client.Pull(ctx, w.push("b", "1", build(t, gz, top)), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if read(t, img, "lib/so") != "x" {
		t.Error("a dependent layer was used in the wrong place")
	}
	img, err = w.client.Pull(ctx, w.push("c", "1", build(t, gz, tarOf(t, file{name: "z", content: "z"}), top)), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if read(t, img, "lib/so") != "x" {
		t.Error("a lowest layer was used where it does not fit")
	}
}

// A connection that breaks again and again is resumed; each byte comes once.
func TestPullResumes(t *testing.T) {
	w := newWorld(t)
	data := make([]byte, 1<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	b := build(t, gz, tarOf(t, file{name: "big", content: string(data)}))
	ref := w.push("a", "1", b)
	var sent atomic.Int64
	w.intercept(brokenBlob(b.layers[0], 100_000, &sent, false))
	img, err := w.client.Pull(ctx, ref, PullOptions{})
	if err != nil || read(t, img, "big") != string(data) {
		t.Fatal(err)
	}
	if sent.Load() > int64(len(b.layers[0]))+100_000 || !w.sawEvent(EventRetry) {
		t.Errorf("%d bytes were sent for %d", sent.Load(), len(b.layers[0]))
	}
}

// brokenBlob serves data in pieces, cutting the connection after each.
func brokenBlob(data []byte, piece int, sent *atomic.Int64, noRanges bool) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "blobs/"+digestOf(data)) {
			return false
		}
		from := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && !noRanges {
			rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			rw.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
			rw.WriteHeader(http.StatusPartialContent)
		} else {
			from = 0
			rw.Header().Set("Content-Length", fmt.Sprint(len(data)))
		}
		n, _ := rw.Write(data[from:min(from+piece, len(data))])
		sent.Add(int64(n))
		if from+piece < len(data) {
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

// What one process fetched, the next does not fetch again.
func TestPullResumesAfterDeath(t *testing.T) {
	w := newWorld(t)
	data := make([]byte, 1<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	b := build(t, gz, tarOf(t, file{name: "big", content: string(data)}))
	ref := w.push("a", "1", b)
	part := filepath.Join(w.client.Store.Dir(), "staging", "blob-"+hexOf(digestOf(b.layers[0])))
	if err := w.client.Store.Init(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, b.layers[0][:900_000], 0o600); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	w.intercept(brokenBlob(b.layers[0], 10<<20, &sent, false))
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := int64(len(b.layers[0]) - 900_000); sent.Load() != want {
		t.Errorf("%d bytes were sent, want %d", sent.Load(), want)
	}
	// A power cut may leave zeros in the part: it is thrown away.
	w2 := newWorld(t)
	ref = w2.push("a", "1", b)
	if err := w2.client.Store.Init(); err != nil {
		t.Fatal(err)
	}
	part = filepath.Join(w2.client.Store.Dir(), "staging", "blob-"+hexOf(digestOf(b.layers[0])))
	if err := os.WriteFile(part, make([]byte, 900_000), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := w2.client.Pull(ctx, ref, PullOptions{})
	if err != nil || read(t, img, "big") != string(data) {
		t.Fatal(err)
	}
}

func TestPullWithoutRanges(t *testing.T) {
	w := newWorld(t)
	b := build(t, gz, tarOf(t, file{name: "x", content: strings.Repeat("abc", 50_000)}))
	ref := w.push("a", "1", b)
	var first sync.Once
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		cut := false
		first.Do(func() { cut = strings.Contains(r.URL.Path, "/blobs/"+digestOf(b.layers[0])) })
		if !strings.Contains(r.URL.Path, "/blobs/"+digestOf(b.layers[0])) {
			first = sync.Once{}
			return false
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(b.layers[0])))
		if cut {
			rw.Write(b.layers[0][:200])
			panic(http.ErrAbortHandler)
		}
		rw.Write(b.layers[0])
		return true
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestPullRefuses(t *testing.T) {
	good := simple(t)
	layer0 := "blobs/" + digestOf(good.layers[0])
	answer := func(suffix string, data []byte) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, suffix) {
				return false
			}
			rw.Write(data)
			return true
		}
	}
	manifest := func(change func(*document)) func(http.ResponseWriter, *http.Request) bool {
		d, err := parseDocument(good.manifest, "")
		if err != nil {
			t.Fatal(err)
		}
		change(d)
		return answer("manifests/1", marshal(t, d))
	}
	evil := build(t, gz, tarOf(t, file{name: "../evil", content: "x"}))
	bomb := build(t, gz, tarOf(t, file{name: "zeros", content: strings.Repeat("\x00", 20<<20)}))
	for _, tc := range []struct {
		name  string
		image *built
		fault func(http.ResponseWriter, *http.Request) bool
		limit func(*Limits)
		want  string
	}{
		{name: "another layer than promised", fault: answer(layer0, gz(t, tarOf(t, file{name: "x"}))), want: "expected"},
		{name: "a truncated layer", fault: answer(layer0, good.layers[0][:50]), want: "EOF"},
		{name: "an endless layer", fault: func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, layer0) {
				return false
			}
			rw.Write(good.layers[0])
			for r.Context().Err() == nil {
				if _, err := rw.Write(make([]byte, 32<<10)); err != nil {
					break
				}
			}
			return true
		}, want: "more than the"},
		{name: "another configuration", fault: answer("blobs/"+digestOf(good.config), []byte("{}")), want: "expected"},
		{name: "a huge manifest", fault: answer("manifests/1", make([]byte, maxManifest+1)), want: "more than"},
		{name: "a huge configuration", fault: manifest(func(d *document) { d.Config.Size = 1 << 30 }), want: "are allowed"},
		{name: "a digest in the header that is another's", fault: func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "manifests/1") {
				return false
			}
			rw.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("1", 64))
			rw.Write(good.manifest)
			return true
		}, want: "the registry says sha256:1111"},
		{name: "no JSON", fault: answer("manifests/1", []byte("<html>")), want: "manifest"},
		{name: "both layers and manifests", fault: manifest(func(d *document) { d.Manifests = []descriptor{*d.Config} }), want: "either"},
		{name: "a path as a digest", fault: manifest(func(d *document) { d.Layers[0].Digest = "sha256:../../../etc/passwd" }), want: "digest"},
		{name: "a negative size", fault: manifest(func(d *document) { d.Layers[0].Size = -1 }), want: "size"},
		{name: "fewer layers than diff_ids", fault: manifest(func(d *document) { d.Layers = d.Layers[:1] }), want: "diff_ids"},
		{name: "layers in another order", fault: manifest(func(d *document) { d.Layers[0], d.Layers[1] = d.Layers[1], d.Layers[0] }), want: "configuration says"},
		{name: "schema 1", fault: func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "manifests/1") {
				return false
			}
			rw.Header().Set("Content-Type", typeDockerSchema1+"+prettyjws")
			rw.Write([]byte(`{"schemaVersion":1}`))
			return true
		}, want: "schema 1"},
		{name: "an index in itself", fault: func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			rw.Write(marshal(t, document{SchemaVersion: 2, Manifests: []descriptor{{Digest: good.digest(), Platform: &platform{OS: "linux", Architecture: "amd64"}}}}))
			return true
		}, want: "asked for"},
		{name: "a redirect to plain HTTP", fault: redirect(layer0, "http://127.0.0.1:1/x"), want: "without TLS"},
		{name: "a redirect to a cloud's metadata", fault: redirect(layer0, "https://169.254.169.254/latest"), want: "link-local"},
		{name: "a redirect without end", fault: redirect("blobs/", ""), want: "redirects"},
		{name: "a wrong range", fault: brokenRange(good.layers[0]), want: "asked for bytes"},
		{name: "a hostile layer", image: evil, want: `".."`},
		{name: "too large", limit: func(l *Limits) { l.LayerSize = 10 }, want: "are allowed"},
		{name: "too many entries", limit: func(l *Limits) { l.Entries = 1 }, want: "more than 1 entries"},
		{name: "a bomb of zstd", limit: func(l *Limits) { l.Ratio, l.Unpacked = 2, 1<<20 }, want: "may unpack to", image: build(t, zst, tarOf(t, file{name: "zeros", content: strings.Repeat("\x00", 20<<20)}))},
		{name: "a bomb", limit: func(l *Limits) { l.Ratio, l.Unpacked = 2, 1<<20 }, want: "may unpack to", image: bomb},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.image == nil {
				tc.image = good
			}
			ref := w.push("a", "1", tc.image)
			if tc.limit != nil {
				tc.limit(&w.client.Limits)
			}
			w.intercept(tc.fault)
			_, err := w.client.Pull(ctx, ref, PullOptions{Platform: "linux/amd64"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v; want %q in it", err, tc.want)
			}
			if _, err := w.client.Store.Resolve(ref); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the image is there: %v", err)
			}
			if _, err := w.client.Store.Collect(store.Prune{Partial: true, Dangling: true}); err != nil {
				t.Error(err)
			}
			if left := leftovers(t, w.client.Store, "staging", "leases", "trash", "layers", "images", "locks", "blobs"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			// The store is as good as before (CVE-2021-20291).
			w.intercept(nil)
			w.client.Limits = DefaultLimits()
			w.client.Limits.Reserve = 0
			if img, err := w.client.Pull(ctx, w.push("a", "good", good), PullOptions{}); err != nil || read(t, img, "etc/conf") != "new" {
				t.Errorf("a good pull afterwards: %v", err)
			}
		})
	}
}

func redirect(suffix, to string) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, suffix) {
			return false
		}
		target := to
		if target == "" {
			target = r.URL.Path + "x"
		}
		http.Redirect(rw, r, target, http.StatusTemporaryRedirect)
		return true
	}
}

func brokenRange(data []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "blobs/"+digestOf(data)) {
			return false
		}
		if r.Header.Get("Range") == "" {
			rw.Header().Set("Content-Length", fmt.Sprint(len(data)))
			rw.Write(data[:50])
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		rw.Header().Set("Content-Range", "bytes 0-1/2")
		rw.WriteHeader(http.StatusPartialContent)
		rw.Write(data)
		return true
	}
}

// Credentials are for the registry, not for where it sends us.
func TestPullRedirectWithoutCredentials(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	ref := w.push("a", "1", b)
	var leaked atomic.Bool
	storage := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		rw.Write(b.blobs[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	defer storage.Close()
	trust(t, w.dir, w.host, w.server.Certificate()) // httptest uses one certificate for all
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/"); ok {
			http.Redirect(rw, r, storage.URL+"/"+digest, http.StatusFound)
			return true
		}
		return false
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if leaked.Load() {
		t.Error("the storage host saw the registry's password")
	}
}

func TestPullStalls(t *testing.T) {
	defer func(d time.Duration) { idleTimeout = d }(idleTimeout)
	idleTimeout = 50 * time.Millisecond
	w := newWorld(t)
	b := simple(t)
	ref := w.push("a", "1", b)
	var stalls atomic.Int32
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, digestOf(b.layers[0])) || stalls.Add(1) > 2 {
			return false
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(b.layers[0])))
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if stalls.Load() < 3 {
		t.Errorf("%d requests", stalls.Load())
	}
}

func TestPullPolicies(t *testing.T) {
	w := newWorld(t)
	now := time.Unix(1_800_000_000, 0)
	w.client.Now = func() time.Time { return now }
	ref := w.push("a", "1", simple(t))
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullNever}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("never: %v", err)
	}
	asked := func(policy string, want bool) {
		t.Helper()
		before := w.requests("manifests/1")
		if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: policy}); err != nil {
			t.Fatalf("%s: %v", policy, err)
		}
		if got := w.requests("manifests/1") > before; got != want {
			t.Errorf("%s asked: %v, want %v", policy, got, want)
		}
	}
	asked(PullMissing, true)
	asked(PullMissing, false)
	asked(PullNever, false)
	asked(PullAlways, true)
	now = now.Add(23 * time.Hour)
	asked("daily", false)
	asked("every_1d2h", false)
	asked("every_22h59m", true)
	now = now.Add(24 * time.Hour)
	asked("daily", true)
	asked("weekly", false)
	for _, bad := range []string{"sometimes", "every_", "every_x", "every_1y", "every_-1h", "every_0h"} {
		if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: bad}); err == nil {
			t.Errorf("pull_policy %q was accepted", bad)
		}
	}
}

// Many clients with their own handles, as many processes have: one fetches.
func TestPullConcurrently(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	ref := w.push("a", "1", b)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := store.Open(w.client.Store.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			c := *w.client
			c.Store = s
			if img, err := c.Pull(ctx, ref, PullOptions{}); err != nil || read(t, img, "etc/conf") != "new" {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	for _, l := range b.layers {
		if n := w.requests("blobs/" + digestOf(l)); n != 1 {
			t.Errorf("layer %s was fetched %d times", digestOf(l), n)
		}
	}
}

func TestPullCancelled(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	ctx, cancel := context.WithCancel(ctx)
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A file system that has become read-only: a clear error, and what is there can
// still be used.
func TestPullOnReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	w := newWorld(t)
	s, err := store.Open(dir + "/store")
	if err != nil {
		t.Fatal(err)
	}
	w.client.Store = s
	good, other := w.push("good", "1", simple(t)), w.push("other", "1", build(t, gz, tarOf(t, file{name: "a", content: "1"})))
	if _, err := w.client.Pull(ctx, good, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=3m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Pull(ctx, other, PullOptions{}); !errors.Is(err, unix.EROFS) {
		t.Errorf("a pull: %v", err)
	}
	if img, err := w.client.Pull(ctx, good, PullOptions{}); err != nil || read(t, img, "etc/conf") != "new" {
		t.Errorf("an image that is there: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=3m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Pull(ctx, other, PullOptions{}); err != nil {
		t.Errorf("when it is writable again: %v", err)
	}
}

// A full file system: a clear error, nothing left, and the store still works.
func TestPullOnFullDisk(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	w := newWorld(t)
	s, err := store.Open(small + "/store")
	if err != nil {
		t.Fatal(err)
	}
	w.client.Store = s
	if _, err := w.client.Pull(ctx, w.push("good", "1", simple(t)), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 2<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	big := w.push("big", "1", build(t, gz, tarOf(t, file{name: "a", content: string(data)})))
	for _, reserve := range []int64{0, 2 << 20} {
		w.client.Limits.Reserve = reserve
		if _, err := w.client.Pull(ctx, big, PullOptions{}); !errors.Is(err, ErrSpace) {
			t.Errorf("with %d in reserve: %v", reserve, err)
		}
	}
	if left := leftovers(t, s, "staging"); len(left) > 0 {
		t.Errorf("what filled the disk is left: %v", left)
	}
	if _, err := s.Collect(store.Prune{Partial: true}); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, s, "staging", "trash", "leases"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if img, err := s.Resolve(w.host + "/good:1"); err != nil || read(t, img, "etc/conf") != "new" {
		t.Errorf("the image from before: %v", err)
	}
}
