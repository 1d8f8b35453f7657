// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/store"
)

// Nobody puts another image under the digest that a definition is pinned to by
// writing that digest into an archive.
func TestLoadedNamesWithADigest(t *testing.T) {
	tars := [][]byte{tarOf(t, file{name: "a", content: "1"})}
	b := build(t, nil, tars...)
	pinned := "quay.io/x/y:1@sha256:" + strings.Repeat("1", 64)
	for name, load := range map[string]func(*Client, LoadOptions) ([]Loaded, error){
		"a layout": func(c *Client, o LoadOptions) ([]Loaded, error) {
			return c.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationImageName: pinned})), o)
		},
		"a layout, by the other annotation": func(c *Client, o LoadOptions) ([]Loaded, error) {
			return c.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationRefName: pinned})), o)
		},
		"an archive of docker": func(c *Client, o LoadOptions) ([]Loaded, error) {
			return c.LoadReader(ctx, bytes.NewReader(archiveOf(t, dockerOf(t, b, tars, pinned)...)), o)
		},
		"podman's storage": func(c *Client, o LoadOptions) ([]Loaded, error) {
			return c.Load(ctx, "containers-storage:["+podmanStore(t, b, tars, pinned)+"]"+pinned, o)
		},
	} {
		c, told := newClient(t), ""
		c.Progress = func(e Event) {
			if e.Kind == EventWarning {
				told += e.Text
			}
		}
		got, err := load(c, LoadOptions{})
		if err != nil || len(got) != 1 || len(got[0].Names) != 0 || !strings.Contains(told, "the name "+pinned+" is left out") {
			t.Errorf("%s: %+v, %v; told %q", name, got, err, told)
		}
		for _, ref := range []string{pinned, strings.Replace(pinned, ":1@", "@", 1)} {
			if img, err := c.Store.Resolve(ref); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %s is %s, %v", name, ref, img.Digest, err)
			}
		}
		// The operator's word counts.
		if got, err := load(c, LoadOptions{Name: pinned}); err != nil || len(got[0].Names) != 1 {
			t.Errorf("%s, with --name: %+v, %v", name, got, err)
		}
	}
	c := newClient(t)
	own := "quay.io/x/y:1@" + b.digest()
	got, err := c.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationImageName: own})), LoadOptions{})
	if err != nil || len(got[0].Names) != 1 {
		t.Errorf("a name with the image's own digest: %+v, %v", got, err)
	}
	// What is saved of it has no such name where docker would read it, and refuse it.
	var saved bytes.Buffer
	if err := c.SaveTar(ctx, &saved, []string{own}); err != nil || bytes.Contains(saved.Bytes(), []byte(annotationImageName)) || !bytes.Contains(saved.Bytes(), []byte(`"RepoTags":null`)) {
		t.Errorf("saved with its name: %v", err)
	}
}

// An archive without end, and one whose names alone would fill the memory, are
// refused, and nothing of them is left.
func TestLoadBombs(t *testing.T) {
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=80m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	s, err := store.Open(small + "/store")
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t)
	c.Store = s
	var names bytes.Buffer
	w := tar.NewWriter(&names)
	for range 40 {
		h := &tar.Header{Name: strings.Repeat("x", 900_000), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.LoadReader(ctx, bytes.NewReader(zst(t, names.Bytes())), LoadOptions{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "bytes of names") {
		t.Errorf("long names: %v", err)
	}
	many := build(t, nil, tarOf(t))
	config := strings.Replace(string(many.config), `"`+many.diffIDs[0]+`"`, strings.TrimSuffix(strings.Repeat(`"`+many.diffIDs[0]+`",`, maxLayers+1), ","), 1)
	layers := strings.TrimSuffix(strings.Repeat(`"no such file",`, maxLayers+1), ",")
	archive := archiveOf(t, entry{name: "c", content: config}, entry{name: "manifest.json", content: `[{"Config":"c","Layers":[` + layers + `]}]`})
	if _, err := c.LoadReader(ctx, bytes.NewReader(archive), LoadOptions{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "are allowed") {
		t.Errorf("layers without end: %v", err)
	}
	if _, err := c.LoadReader(ctx, endless{}, LoadOptions{}); !errors.Is(err, ErrSpace) {
		t.Errorf("a stream without end: %v", err)
	}
	if left := leftovers(t, s, "staging", "images", "names", "blobs"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if free, total, err := s.FreeBytes(); err != nil || free < total*9/10 {
		t.Errorf("%d of %d bytes are free: %v", free, total, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
