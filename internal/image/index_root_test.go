// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/store"
)

// pushIndex puts an index of two platforms under a tag.
func (w *world) pushIndex(repo, tag string, here, other *built) (ref, digest string) {
	w.push(repo, "here", here)
	w.push(repo, "other", other)
	own, _ := parsePlatform("")
	index := marshal(w.t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{
		{MediaType: typeOCIManifest, Digest: other.digest(), Size: int64(len(other.manifest)), Platform: &platform{OS: "linux", Architecture: "s390x"}},
		{MediaType: typeOCIManifest, Digest: here.digest(), Size: int64(len(here.manifest)), Platform: &own},
	}})
	w.put("PUT", "/v2/"+repo+"/manifests/"+tag, typeOCIIndex, index)
	return w.host + "/" + repo + ":" + tag, digestOf(index)
}

// An image is found by the digest of the index that it was pulled by, also where it came
// by an archive; nobody can say so of another image.
func TestIndexGoesAlong(t *testing.T) {
	w := newWorld(t)
	here, other := simple(t), build(t, gz, tarOf(t, file{name: "b", content: "2"}))
	ref, digest := w.pushIndex("a", "1", here, other)
	pinned := ref + "@" + digest
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	loaded := func(archive []byte) (*Client, []Loaded) {
		t.Helper()
		c := newClient(t)
		got, err := c.LoadReader(ctx, bytes.NewReader(archive), LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c, got
	}
	for name, names := range map[string]string{ref: ref, pinned: pinned, w.host + "/a@" + digest: w.host + "/a@" + digest, here.digest(): ""} {
		var saved bytes.Buffer
		if err := w.client.SaveTar(ctx, &saved, []string{name}); err != nil {
			t.Fatal(err)
		}
		c, got := loaded(saved.Bytes())
		if found := strings.Join(got[0].Names, " "); found != names {
			t.Errorf("saved as %s, loaded as %q", name, found)
		}
		img, err := c.Store.Resolve(pinned)
		if names == "" != errors.Is(err, store.ErrNotFound) || names != "" && img.Digest != here.digest() {
			t.Errorf("saved as %s: %s, %v", name, img.Digest, err)
		}
		// And once more, from there.
		if names != "" {
			saved.Reset()
			if err := c.SaveTar(ctx, &saved, []string{pinned}); err != nil {
				t.Fatal(err)
			}
			c, _ = loaded(saved.Bytes())
			if img, err := c.Store.Resolve(pinned); err != nil || img.Digest != here.digest() {
				t.Errorf("saved as %s, loaded, saved and loaded: %v", name, err)
			}
		}
		if _, err := c.Store.Collect(store.Prune{Dangling: true}); err != nil {
			t.Fatal(err)
		}
		if names != "" && !c.Store.HasBlob(hexOf(digest)) {
			t.Error("the collector took the index")
		}
	}
	// An archive that puts another image below the index is not believed.
	evil := build(t, gz, tarOf(t, file{name: "evil", content: "1"}))
	raw, err := w.client.Store.ReadBlob(hexOf(digest), maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	for what, index := range map[string][]byte{"the true index": raw, "one that names it": bytes.ReplaceAll(raw, []byte(here.digest()), []byte(evil.digest())), "no JSON": []byte("x")} {
		c := newClient(t)
		entries := append(layoutOf(t, evil, map[string]string{annotationPinned: pinned, annotationIndex: digest}), entry{name: blobName(digest), content: string(index)})
		_, _ = c.Load(ctx, writeDir(t, entries), LoadOptions{})
		if img, err := c.Store.Resolve(pinned); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("with %s %s is %s, %v", what, pinned, img.Digest, err)
		}
	}
	for _, hostile := range []string{"../../index.json", "sha256:../../../../etc/passwd", "sha256:"} {
		c := newClient(t)
		if _, err := c.Load(ctx, writeDir(t, layoutOf(t, evil, map[string]string{annotationIndex: hostile})), LoadOptions{}); !errors.Is(err, ErrRefused) {
			t.Errorf("an index called %q: %v", hostile, err)
		}
	}
}

// Signatures and the like that stand beside an image in a layout are no images.
func TestLayoutWithAttachments(t *testing.T) {
	b, sig := simple(t), build(t, nil, []byte("no tar"))
	for name, attach := range map[string]descriptor{
		"cosign save": {Annotations: map[string]string{"kind": "dev.cosignproject.cosign/sigs"}},
		"a referrer":  {ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json"},
	} {
		entries := layoutOf(t, b, map[string]string{"kind": "dev.cosignproject.cosign/image"})
		for d, data := range sig.blobs {
			entries = append(entries, entry{name: blobName(d), content: string(data)})
		}
		attach.MediaType, attach.Digest, attach.Size = typeOCIManifest, sig.digest(), int64(len(sig.manifest))
		entries = append(entries, entry{name: blobName(sig.digest()), content: string(sig.manifest)})
		for i := range entries {
			if entries[i].name == "index.json" {
				var index document
				if err := json.Unmarshal([]byte(entries[i].content), &index); err != nil {
					t.Fatal(err)
				}
				index.Manifests = append(index.Manifests, attach)
				entries[i].content = string(marshal(t, index))
			}
		}
		c := newClient(t)
		got, err := c.Load(ctx, writeDir(t, entries), LoadOptions{Name: "localhost/x:1"})
		if err != nil || len(got) != 1 || got[0].Image.Digest != b.digest() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
