// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// An index is what registries have under the digest that people pin: it names an image
// for each platform. It is kept beside the image that was chosen of it, and goes along
// into archives, where other readers find the image as ever. Its own digest proves it.

// Annotations of ours in an OCI layout: the digest of the index that the image is of,
// and a name with a digest, which other readers would not take.
const (
	annotationIndex  = "com.github.unitc.index"
	annotationPinned = "com.github.unitc.name"
)

// keepIndex puts the index that has chosen an image into the store.
func (a *assembler) keepIndex() error {
	if a.index == nil || !a.index.isIndex() || !a.index.names(a.manifest.digest) {
		return nil
	}
	hex := hexOf(a.index.digest)
	if err := a.lease.Hold("blobs/" + hex); err != nil {
		return err
	}
	if had, err := a.store.ReadBlob(hex, maxManifest); err == nil && digestOf(had) != a.index.digest {
		if err := a.store.RemoveBlob(hex); err != nil {
			return err
		}
	}
	return a.store.PutBlob(hex, a.index.raw)
}

// names tells whether an index has a manifest of this digest.
func (d *document) names(digest string) bool {
	for _, m := range d.Manifests {
		if m.Digest == digest {
			return true
		}
	}
	return false
}

// keptIndex is the index by which an image is known, nil if there is none or it is not
// here, as of an image that was pulled by an older unitc.
func (c *Client) keptIndex(n store.Name, img store.Image) (*document, error) {
	if n.Image != img.Digest || n.Target == "" || n.Target == img.Digest {
		return nil, nil
	}
	raw, err := c.Store.ReadBlob(hexOf(n.Target), maxManifest)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if digestOf(raw) != n.Target {
		return nil, fmt.Errorf("blob %s: %w; `unitc pull %s` fetches it again", n.Target, errDamaged, n.Ref)
	}
	index, err := parseDocument(raw, "")
	if err != nil || !index.isIndex() || !index.names(img.Digest) {
		return nil, nil
	}
	return index, nil
}

// indexOf reads the index that a layout says an image is of. It counts if it would have
// chosen that image here.
func indexOf(ctx context.Context, b bundle, d descriptor, doc *document, platform string) (*document, error) {
	digest := d.Annotations[annotationIndex]
	if digest == "" {
		return nil, nil
	}
	if err := reference.CheckDigest(digest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRefused, annotationIndex, err)
	}
	raw, err := readFile(b, blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if digestOf(raw) != digest {
		return nil, fmt.Errorf("%w: the index %s has the digest %s", ErrRefused, digest, digestOf(raw))
	}
	index, err := parseDocument(raw, "")
	if err != nil {
		return nil, err
	}
	if !index.isIndex() {
		return nil, fmt.Errorf("%w: %s is no index", ErrRefused, digest)
	}
	chosen, err := choose(ctx, index, platform, func(d descriptor) (*document, error) {
		if d.Digest != doc.digest {
			return nil, errAnother
		}
		return doc, nil
	})
	if err != nil || chosen != doc {
		return nil, nil // an image for another platform, which the index does not mean here
	}
	return index, nil
}

var errAnother = errors.New("another image")
