// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/store"
)

// What a name means is asked without its manifest, which registries count as a pull, as
// long as it means what was fetched.
func TestRemoteCountsAsNoPull(t *testing.T) {
	w := newWorld(t)
	first := simple(t)
	ref := w.push("a", "1", first)
	index := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: typeOCIManifest, Digest: first.digest(), Size: int64(len(first.manifest)), Platform: &platform{OS: "linux", Architecture: runtime.GOARCH}},
	}})
	w.put("PUT", "/v2/a/manifests/multi", typeOCIIndex, index)
	w.put("PUT", "/v2/a/manifests/"+first.digest(), typeOCIManifest, first.manifest)
	multi := w.host + "/a:multi"
	remote := func(ref, want string, pulls int) {
		t.Helper()
		before := w.requests("GET /v2/a/manifests/")
		got, err := w.client.Remote(ctx, ref, "")
		if err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", ref, got, err, want)
		}
		if n := w.requests("GET /v2/a/manifests/") - before; n != pulls {
			t.Errorf("%s: %d manifests were fetched, want %d", ref, n, pulls)
		}
	}
	remote(ref, first.digest(), 1) // nothing is known of it
	for _, name := range []string{ref, multi} {
		if _, err := w.client.Pull(ctx, name, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		remote(name, first.digest(), 0)
	}
	for _, what := range []string{"not allowed", "without a digest"} {
		w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				if what == "not allowed" {
					rw.WriteHeader(http.StatusMethodNotAllowed)
				}
				return true
			}
			return false
		})
		remote(ref, first.digest(), 1)
		remote(multi, first.digest(), 2)
	}
	w.intercept(nil)
	second := build(t, gz, tarOf(t, file{name: "new", content: "x"}))
	w.push("a", "1", second)
	remote(ref, second.digest(), 1)
	// One that is here and that the name does not mean yet.
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways, Later: true}); err != nil {
		t.Fatal(err)
	}
	remote(ref, second.digest(), 0)
	// What was gone back from is not what the registry has, and does not go by its digest.
	back := mustParse(t, ref)
	if err := w.client.Store.ChangeName(back, func(n *store.Name) { n.Advance(); n.MeanAgain(first.digest()) }); err != nil {
		t.Fatal(err)
	}
	remote(ref, second.digest(), 1)
	if err := w.client.Store.ChangeName(mustParse(t, multi), func(n *store.Name) { n.MeanAgain(second.digest()) }); err != nil {
		t.Fatal(err)
	}
	if img, err := w.client.Store.Resolve(w.host + "/a@" + digestOf(index)); err == nil {
		t.Errorf("by the digest of an index that was gone back from there is %s", img.Digest)
	}
}

// A pull that brings nothing new asks for no manifest, and the policy is asked for the
// digests that it would be asked for behind one.
func TestPullOfWhatIsHereCountsAsNone(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.client.Now = func() time.Time { return now }
	first := simple(t)
	single := w.push("a", "1", first)
	index := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: typeOCIManifest, Digest: first.digest(), Size: int64(len(first.manifest)), Platform: &platform{OS: "linux", Architecture: runtime.GOARCH}},
	}})
	w.put("PUT", "/v2/a/manifests/multi", typeOCIIndex, index)
	w.put("PUT", "/v2/a/manifests/"+first.digest(), typeOCIManifest, first.manifest)
	multi := w.host + "/a:multi"
	pull := func(what, name, policy string, later bool, manifests int, want *built) {
		t.Helper()
		before := w.requests("GET /v2/a/manifests/")
		img, err := w.client.Pull(ctx, name, PullOptions{Policy: policy, Later: later})
		if err != nil || img.Digest != want.digest() {
			t.Errorf("%s: %s is %s, %v; want %s", what, name, img.Digest, err, want.digest())
		}
		if n := w.requests("GET /v2/a/manifests/") - before; n != manifests {
			t.Errorf("%s: of %s %d manifests were fetched, want %d", what, name, n, manifests)
		}
	}
	pull("nothing is here", single, "", false, 1, first)
	pull("nothing is here", multi, "", false, 2, first)
	for _, name := range []string{single, multi} {
		now = now.Add(25 * time.Hour)
		pull("it is as it was", name, "daily", false, 0, first)
		if n, err := w.client.Store.LookupName(mustParse(t, name)); err != nil || now.Sub(n.Time) > time.Minute {
			t.Errorf("it was asked for at %v, %v", n.Time, err)
		}
		pull("it was asked for just now", name, "daily", false, 0, first)
		pull("it is as it was", name, PullAlways, false, 0, first)
	}
	// What is missing of it is fetched.
	img, err := w.client.Store.Resolve(single)
	if err == nil {
		err = w.client.Store.RemoveLayer(img.Layers[0].Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	pull("a layer is missing", single, PullAlways, false, 0, first)
	if read(t, img, "bin/app") != "app 1" {
		t.Error("the layer has not come back")
	}
	if err := w.client.Store.RemoveBlob(hexOf(first.digest())); err != nil {
		t.Fatal(err)
	}
	pull("its manifest is missing", single, PullAlways, false, 1, first)
	// The policy may have changed since.
	anything := w.client.PolicyFile
	w.client.PolicyFile = w.write("signed.json", fmt.Sprintf(`{"default":[{"type":"sigstoreSigned","keyPath":%q}]}`, w.write("pub.pem", pemOf(t, newKey(t)))))
	if _, err := w.client.Pull(ctx, multi, PullOptions{Policy: PullAlways}); !errors.Is(err, ErrPolicy) {
		t.Errorf("what a policy forbids by now: %v", err)
	}
	for _, digest := range []string{digestOf(index), first.digest()} {
		if w.requests(hexOf(digest)+".sig") == 0 {
			t.Errorf("no signature of %s was looked for", digest)
		}
	}
	w.client.PolicyFile = anything
	second := build(t, gz, tarOf(t, file{name: "new", content: "x"}))
	w.push("a", "1", second)
	pull("a newer one, for later", single, PullAlways, true, 1, second)
	pull("the newer one", single, PullAlways, false, 0, second)
	if n, err := w.client.Store.LookupName(mustParse(t, single)); err != nil || n.Image != second.digest() || n.Next != nil {
		t.Errorf("the name is %+v, %v", n, err)
	}
	// A registry that says one thing and has another is believed in nothing.
	pinned := w.host + "/a@" + first.digest()
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			rw.Header().Set("Docker-Content-Digest", second.digest())
			return true
		}
		return false
	})
	pull("pinned", pinned, PullAlways, false, 1, first)
}
