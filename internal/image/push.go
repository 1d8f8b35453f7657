// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// Push sends a local image to a registry under the name to, which may be the
// image's own. Digests stay what they are: the stored blobs are sent.
func (c *Client) Push(ctx context.Context, image, to string) error {
	img, err := c.Store.Resolve(image)
	if err != nil {
		return err
	}
	ref, err := reference.Parse(to)
	if err != nil {
		return err
	}
	if err := c.push(ctx, img, ref); err != nil {
		return fmt.Errorf("pushing %s: %w", ref, explain(err))
	}
	return nil
}

func (c *Client) push(ctx context.Context, img store.Image, ref reference.Reference) error {
	if ref.Tag == "" {
		return errors.New("a name with a tag is needed")
	}
	conf, err := LoadRegistries(c.RegistriesFile)
	if err != nil {
		return err
	}
	if ref, err = conf.expand(ref); err != nil {
		return err
	}
	endpoints, err := conf.endpoints(ref)
	if err != nil {
		return err
	}
	e := endpoints[len(endpoints)-1] // the registry itself, never a mirror
	var opts []name.Option
	if e.insecure {
		opts = append(opts, name.Insecure)
	}
	tag, err := name.NewTag(e.host+"/"+e.path+":"+ref.Tag, opts...)
	if err != nil {
		return err
	}
	auth, from, err := credentials(ctx, c.AuthFile, e.host, e.path)
	if err != nil {
		return err
	}
	transport, err := baseTransport(e)
	if err != nil {
		return err
	}
	raw, err := c.Store.ReadBlob(hexOf(img.Digest), maxManifest)
	if err != nil {
		return err
	}
	stored, err := partial.CompressedToImage(&storedImage{store: c.Store, img: img, manifest: raw})
	if err != nil {
		return err
	}
	report := newReporter(c.Progress, ref.String())
	report.send(Event{Kind: EventResolve, Text: "pushing to " + e.host})
	if err := remote.Write(tag, stored, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(transport), remote.WithJobs(parallelLayers)); err != nil {
		if from != "" {
			return ifRefused(err, fmt.Sprintf("whom %s names may not write there: `unitc login %s` takes other credentials", from, e.host))
		}
		return ifRefused(err, fmt.Sprintf("`unitc login %s` first", e.host))
	}
	report.send(Event{Kind: EventImage, Digest: img.Digest, Layers: len(img.Layers)})
	return nil
}

// storedImage shows an image of the store to the library
// (partial.CompressedImageCore).
type storedImage struct {
	store    *store.Store
	img      store.Image
	manifest []byte
}

func (i *storedImage) RawManifest() ([]byte, error) { return i.manifest, nil }

func (i *storedImage) RawConfigFile() ([]byte, error) {
	return i.store.ReadBlob(hexOf(i.img.ID), maxManifest)
}

func (i *storedImage) MediaType() (types.MediaType, error) {
	if i.img.MediaType == "" {
		return types.OCIManifestSchema1, nil
	}
	return types.MediaType(i.img.MediaType), nil
}

func (i *storedImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, l := range i.img.Layers {
		if l.Blob == h.String() {
			return &storedLayer{store: i.store, layer: l}, nil
		}
	}
	return nil, fmt.Errorf("layer %s: %w", h, store.ErrNotFound)
}

type storedLayer struct {
	store *store.Store
	layer store.Layer
}

func (l *storedLayer) Digest() (v1.Hash, error) { return v1.NewHash(l.layer.Blob) }
func (l *storedLayer) Size() (int64, error)     { return l.layer.Size, nil }
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	return l.store.OpenBlob(hexOf(l.layer.Blob))
}

func (l *storedLayer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.layer.MediaType), nil
}
