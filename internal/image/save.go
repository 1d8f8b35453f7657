// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// layoutWriter receives the files of an OCI layout.
type layoutWriter interface {
	add(name string, size int64, r io.Reader) error
	has(name string) bool
	finish() error
}

// SaveDir writes images as an OCI layout into a directory, which is created or
// must be empty.
func (c *Client) SaveDir(ctx context.Context, dir string, names []string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("saving: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("saving: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("saving: %s is not empty", dir)
	}
	return c.save(ctx, &dirWriter{dir: dir}, names)
}

// SaveTar writes images as a tar that is an OCI layout and, for docker load of
// any age, a docker archive too. The same images give the same bytes.
func (c *Client) SaveTar(ctx context.Context, w io.Writer, names []string) error {
	return c.save(ctx, &tarWriter{w: tar.NewWriter(w), done: map[string]bool{}}, names)
}

func (c *Client) save(ctx context.Context, w layoutWriter, names []string) error {
	index := document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{}}
	var docker []dockerImage
	var images []store.Image
	for _, name := range names { // before anything is written
		img, err := c.Store.Resolve(name)
		if err != nil {
			return err
		}
		images = append(images, img)
	}
	if err := addBytes(w, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	for i, name := range names {
		img := images[i]
		if err := c.saveBlobs(ctx, w, img); err != nil {
			return fmt.Errorf("saving %s: %w", name, err)
		}
		d, entry, err := c.entries(w, img, name)
		if err != nil {
			return fmt.Errorf("saving %s: %w", name, err)
		}
		index.Manifests = append(index.Manifests, d)
		docker = append(docker, entry)
	}
	if err := addJSON(w, "manifest.json", docker); err != nil {
		return err
	}
	if err := addJSON(w, "index.json", index); err != nil {
		return err
	}
	return w.finish()
}

// entries describe an image in index.json and manifest.json; an index that it is of is
// saved with it.
func (c *Client) entries(w layoutWriter, img store.Image, name string) (descriptor, dockerImage, error) {
	raw, err := c.Store.ReadBlob(hexOf(img.Digest), maxManifest)
	if err != nil {
		return descriptor{}, dockerImage{}, err
	}
	d := descriptor{
		MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(raw)),
		Platform: &platform{Architecture: img.Architecture, OS: img.OS, Variant: img.Variant},
	}
	if d.MediaType == "" {
		d.MediaType = typeOCIManifest
	}
	entry := dockerImage{Config: blobName(img.ID)}
	for _, l := range img.Layers {
		entry.Layers = append(entry.Layers, blobName(l.Blob))
	}
	r, err := reference.Parse(name)
	if err != nil {
		return d, entry, nil // a digest
	}
	known, err := c.Store.LookupName(r)
	if err != nil && !c.Store.HasName(img.Digest, r) {
		return d, entry, nil
	}
	if d.Annotations = map[string]string{annotationPinned: r.String()}; r.Digest == "" {
		// With a digest it is no name that docker would take.
		d.Annotations = map[string]string{annotationRefName: r.Tag, annotationImageName: r.String()}
		entry.RepoTags = []string{r.String()}
	}
	index, err := c.keptIndex(known, img)
	if err != nil || index == nil {
		return d, entry, err
	}
	d.Annotations[annotationIndex] = index.digest
	if w.has(blobName(index.digest)) {
		return d, entry, nil
	}
	return d, entry, addBytes(w, blobName(index.digest), index.raw)
}

func blobName(digest string) string { return "blobs/sha256/" + hexOf(digest) }

func (c *Client) saveBlobs(ctx context.Context, w layoutWriter, img store.Image) error {
	digests := []string{img.Digest, img.ID}
	for _, l := range img.Layers {
		digests = append(digests, l.Blob)
	}
	for _, d := range digests {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.has(blobName(d)) {
			continue
		}
		if err := c.saveBlob(w, d); err != nil {
			return err
		}
	}
	return nil
}

// saveBlob verifies on the way out: a damaged store must not spread.
func (c *Client) saveBlob(w layoutWriter, digest string) error {
	f, err := c.Store.OpenBlob(hexOf(digest))
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w; it was pruned with --blobs, pull the image again with pull_policy always", err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h := newHashReader(f)
	if err := w.add(blobName(digest), st.Size(), h); err != nil {
		return err
	}
	if h.digest() != digest {
		return fmt.Errorf("blob %s: %w; `unitc verify --repair` fetches it again", digest, errDamaged)
	}
	return nil
}

func addJSON(w layoutWriter, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return addBytes(w, name, data)
}

func addBytes(w layoutWriter, name string, data []byte) error {
	return w.add(name, int64(len(data)), bytes.NewReader(data))
}

// dirWriter writes below a directory; index.json comes last, so that a layout
// without it is one that was broken off.
type dirWriter struct{ dir string }

func (d *dirWriter) has(name string) bool {
	_, err := os.Lstat(filepath.Join(d.dir, name))
	return err == nil
}

func (d *dirWriter) add(name string, _ int64, r io.Reader) error {
	if name == "manifest.json" {
		return nil // a docker archive is a tar
	}
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (d *dirWriter) finish() error { return nil }

type tarWriter struct {
	w    *tar.Writer
	done map[string]bool
}

func (t *tarWriter) has(name string) bool { return t.done[name] }

func (t *tarWriter) add(name string, size int64, r io.Reader) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := t.w.WriteHeader(h); err != nil {
		return err
	}
	t.done[name] = true
	_, err := io.Copy(t.w, r)
	return err
}

func (t *tarWriter) finish() error { return t.w.Close() }
