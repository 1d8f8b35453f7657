// SPDX-License-Identifier: Apache-2.0

package image

import (
	"net/http"
	"runtime"
	"testing"

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
