// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/store"
)

// client has a store of its own and no registry.
func newClient(t testing.TB) *Client {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir + "/store")
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(s)
	c.Limits.Reserve = 0
	c.PolicyFile = dir + "/policy.json"
	if err := os.WriteFile(c.PolicyFile, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

type entry struct{ name, link, content string }

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layoutOf is the image as an OCI layout.
func layoutOf(t testing.TB, b *built, annotations map[string]string) []entry {
	index := document{SchemaVersion: 2, Manifests: []descriptor{{MediaType: typeOCIManifest, Digest: b.digest(), Size: int64(len(b.manifest)), Annotations: annotations}}}
	out := []entry{{name: "oci-layout", content: `{"imageLayoutVersion":"1.0.0"}`}, {name: "index.json", content: string(marshal(t, index))}, {name: blobName(b.digest()), content: string(b.manifest)}}
	for d, data := range b.blobs {
		out = append(out, entry{name: blobName(d), content: string(data)})
	}
	return out
}

// dockerOf is the image as old docker save writes it: layers before the
// manifest, a repeated layer as a link.
func dockerOf(t testing.TB, b *built, tars [][]byte, tags ...string) []entry {
	var out []entry
	img := dockerImage{Config: hexOf(digestOf(b.config)) + ".json", RepoTags: tags}
	for i, data := range tars {
		name := fmt.Sprintf("layer%d/layer.tar", i)
		if i > 0 && bytes.Equal(data, tars[0]) {
			out = append(out, entry{name: name, link: "../layer0/layer.tar"})
		} else {
			out = append(out, entry{name: name, content: string(data)})
		}
		img.Layers = append(img.Layers, name)
	}
	return append(out, entry{name: img.Config, content: string(b.config)}, entry{name: "manifest.json", content: string(marshal(t, []dockerImage{img}))})
}

func writeDir(t testing.TB, entries []entry) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		path := filepath.Join(dir, e.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(e.content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	tars := [][]byte{tarOf(t, file{name: "a", content: "1"}), tarOf(t, file{name: "b", content: "2"}), tarOf(t, file{name: "a", content: "1"})}
	b, plain := build(t, gz, tars...), build(t, nil, tars...)
	named := map[string]string{annotationImageName: "quay.io/x/y:1", annotationRefName: "1"}
	for _, tc := range []struct {
		name string
		load func(c *Client) ([]Loaded, error)
		want string
	}{
		{"layout directory", func(c *Client) ([]Loaded, error) {
			return c.Load(ctx, writeDir(t, layoutOf(t, b, named)), LoadOptions{})
		}, "quay.io/x/y:1"},
		{"layout with a tag only", func(c *Client) ([]Loaded, error) {
			return c.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationRefName: "latest"})), LoadOptions{Name: "own"})
		}, "docker.io/library/own:latest"},
		{"layout tar", func(c *Client) ([]Loaded, error) {
			return c.Load(ctx, filepath.Join(writeDir(t, []entry{{name: "x.tar", content: string(archiveOf(t, layoutOf(t, b, named)...))}}), "x.tar"), LoadOptions{})
		}, "quay.io/x/y:1"},
		{"layout tar, compressed, from a stream", func(c *Client) ([]Loaded, error) {
			return c.LoadReader(ctx, bytes.NewReader(zst(t, archiveOf(t, layoutOf(t, b, named)...))), LoadOptions{})
		}, "quay.io/x/y:1"},
		{"docker archive", func(c *Client) ([]Loaded, error) {
			return c.LoadReader(ctx, bytes.NewReader(archiveOf(t, dockerOf(t, plain, tars, "busy:1")...)), LoadOptions{})
		}, "docker.io/library/busy:1"},
		{"docker archive with compressed layers", func(c *Client) ([]Loaded, error) {
			return c.LoadReader(ctx, bytes.NewReader(gz(t, archiveOf(t, dockerOf(t, b, b.layers, "busy:1")...))), LoadOptions{})
		}, "docker.io/library/busy:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClient(t)
			got, err := tc.load(c)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || fmt.Sprint(got[0].Names) != "["+tc.want+"]" {
				t.Fatalf("loaded %+v", got)
			}
			img, err := c.Store.Resolve(tc.want)
			if err != nil || read(t, img, "a") != "1" || read(t, img, "b") != "2" || len(img.Lowers) != 2 || img.ID != digestOf(b.config) {
				t.Errorf("image %+v, %v", img, err)
			}
			if left := leftovers(t, c.Store, "staging", "leases", "trash"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestLoadRootFS(t *testing.T) {
	c := newClient(t)
	data := tarOf(t, file{name: "./"}, file{name: "./etc/"}, file{name: "./etc/os-release", content: "ID=x"})
	o := LoadOptions{RootFS: true, Name: "localhost/tree", Cmd: []string{"/bin/sh"}}
	got, err := c.LoadReader(ctx, bytes.NewReader(zst(t, data)), o)
	if err != nil {
		t.Fatal(err)
	}
	if img := got[0].Image; read(t, img, "etc/os-release") != "ID=x" || fmt.Sprint(img.Config.Cmd) != "[/bin/sh]" {
		t.Errorf("image %+v", img)
	}
	again, err := c.LoadReader(ctx, bytes.NewReader(data), o)
	if err != nil || again[0].Image.Digest != got[0].Image.Digest {
		t.Errorf("the same tree is another image: %v", err)
	}
	if _, err := c.LoadReader(ctx, bytes.NewReader(data[:len(data)-1024]), o); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("a tar without its end: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	b := simple(t)
	layout := func(change func([]entry) []entry) string { return writeDir(t, change(layoutOf(t, b, nil))) }
	linked := layout(func(e []entry) []entry { return e })
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, b.layers[0], 0o600); err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(linked, blobName(digestOf(b.layers[0])))
	if err := errors.Join(os.Remove(blob), os.Symlink(secret, blob)); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a blob that is a link":    linked,
		"a blob of other content":  layout(func(e []entry) []entry { e[len(e)-1].content += "x"; return e }),
		"no index":                 layout(func(e []entry) []entry { return e[:1] }),
		"an index that is none":    layout(func(e []entry) []entry { e[1].content = string(b.manifest); return e }),
		"a huge index":             layout(func(e []entry) []entry { e[1].content = strings.Repeat(" ", maxManifest+1); return e }),
		"an empty directory":       t.TempDir(),
		"a file that is no tar":    secret,
		"a file that is not there": secret + "x",
	} {
		c := newClient(t)
		if _, err := c.Load(ctx, path, LoadOptions{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if left := leftovers(t, c.Store, "images", "names"); len(left) > 0 {
			t.Errorf("%s: left over %v", name, left)
		}
	}
	c := newClient(t)
	c.PolicyFile = writeDir(t, []entry{{name: "policy.json", content: `{"default":[{"type":"reject"}]}`}}) + "/policy.json"
	if _, err := c.Load(ctx, writeDir(t, layoutOf(t, b, nil)), LoadOptions{}); !errors.Is(err, ErrPolicy) {
		t.Errorf("a policy that rejects: %v", err)
	}
}

func TestSave(t *testing.T) {
	c := newClient(t)
	b := simple(t)
	if _, err := c.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationImageName: "q.io/a:1"})), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	if err := c.SaveTar(ctx, &one, []string{"q.io/a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.SaveTar(ctx, &two, []string{"q.io/a:1"}); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("saving twice differs: %v", err)
	}
	var none bytes.Buffer
	if err := c.SaveTar(ctx, &none, []string{"q.io/a:1", "q.io/b:1"}); err == nil || none.Len() != 0 {
		t.Errorf("%d bytes were written of an image that is not there: %v", none.Len(), err)
	}
	dir := t.TempDir() + "/layout"
	if err := c.SaveDir(ctx, dir, []string{"q.io/a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.SaveDir(ctx, dir, []string{"q.io/a:1"}); err == nil {
		t.Error("a directory with content was written to")
	}
	for _, load := range []func(*Client) ([]Loaded, error){
		func(c *Client) ([]Loaded, error) { return c.LoadReader(ctx, &one, LoadOptions{}) },
		func(c *Client) ([]Loaded, error) { return c.Load(ctx, dir, LoadOptions{}) },
	} {
		other := newClient(t)
		if got, err := load(other); err != nil || got[0].Image.Digest != b.digest() || got[0].Names[0] != "q.io/a:1" {
			t.Errorf("loading what was saved: %+v, %v", got, err)
		}
	}
	blob := filepath.Join(c.Store.Dir(), "blobs", hexOf(digestOf(b.layers[0])))
	if err := os.WriteFile(blob, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.SaveTar(ctx, &two, []string{"q.io/a:1"}); !errors.Is(err, errDamaged) {
		t.Errorf("saving a damaged blob: %v", err)
	}
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if err := c.SaveTar(ctx, &two, []string{"q.io/a:1"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("saving a pruned blob: %v", err)
	}
}
