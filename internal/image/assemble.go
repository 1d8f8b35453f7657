// SPDX-License-Identifier: Apache-2.0

package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/store"
)

// source is where the blobs of one image come from.
type source interface {
	// open gives a blob's bytes from offset on. An error that retryable()
	// recognizes, here or while reading, is worth another try.
	open(ctx context.Context, d descriptor, offset int64) (io.ReadCloser, error)
}

// assembler brings one image into the store.
type assembler struct {
	store  *store.Store
	source source
	report *reporter
	limits Limits
	// config, when set, is the configuration itself, for formats that do not
	// have it as a blob.
	config []byte
	// want is the platform that an image without an index has to be for; strict: it was
	// asked for, and nothing else will do. Zero: any.
	want   platform
	strict bool

	// index is what has chosen the manifest, nil if nothing has.
	index *document

	lease    *store.Lease
	manifest *document
	conf     *configFile
	chains   []string
	layers   []*layerJob
}

// layerJob is one layer on its way.
type layerJob struct {
	index  int
	desc   descriptor
	diffID string
	key    string        // where it is, once done is closed
	done   chan struct{} // closed when the layer is in the store
	yield  func()        // lets the next layer be unpacked; what remains is the disk's
}

// parallelLayers: two unpack while one waits for the network. More would only
// need memory, since an ordinary host has no more cores to spare than that.
const parallelLayers = 3

// maxUncommitted layers wait for the disk beside those: each keeps some
// descriptors.
const maxUncommitted = 32

// run fetches the configuration and the layers and records the image. names
// are given last, so that a name never means an incomplete image.
func (a *assembler) run(ctx context.Context, m *document, names ...store.Name) (store.Image, error) {
	var img store.Image
	lease, err := a.store.NewLease()
	if err != nil {
		return img, err
	}
	defer lease.Release()
	a.lease, a.manifest = lease, m
	if err := a.configure(ctx); err != nil {
		return img, err
	}
	if err := a.room(); err != nil {
		return img, err
	}
	if err := a.fetchLayers(ctx); err != nil {
		return img, err
	}
	img = a.image()
	if err := a.store.PutImage(img, names...); err != nil {
		return img, err
	}
	a.report.send(Event{Kind: EventImage, Digest: img.Digest, Layers: len(img.Layers)})
	return a.store.Resolve(img.Digest)
}

// configure reads the configuration and stores the two small blobs.
func (a *assembler) configure(ctx context.Context) error {
	m := a.manifest
	if err := a.lease.Hold("images/"+hexOf(m.digest), "blobs/"+hexOf(m.digest), "blobs/"+m.Config.hex()); err != nil {
		return err
	}
	raw := a.config
	if raw == nil {
		var err error
		if raw, err = readSmall(ctx, a.source, *m.Config); err != nil {
			return fmt.Errorf("image configuration: %w", err)
		}
	}
	conf, err := parseConfig(raw, len(m.Layers))
	if err != nil {
		if kind := m.otherKind(); kind != "" {
			return fmt.Errorf("%w: no image of a container, but %q", ErrRefused, kind)
		}
		return err
	}
	if err := a.fits(conf); err != nil {
		return err
	}
	a.plan(conf)
	if err := a.store.PutBlob(m.Config.hex(), raw); err != nil {
		return err
	}
	if err := a.keepIndex(); err != nil {
		return err
	}
	return a.store.PutBlob(hexOf(m.digest), m.raw)
}

// fits tells of an image for another machine, before its layers are fetched.
func (a *assembler) fits(conf *configFile) error {
	is := platform{OS: cmp.Or(conf.OS, "linux"), Architecture: conf.Architecture, Variant: conf.Variant}
	// What uname(2) says stands in some.
	is.Architecture = cmp.Or(map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[is.Architecture], is.Architecture)
	if a.want == (platform{}) || is.Architecture == "" || is.fits(a.want) {
		return nil
	}
	if a.strict {
		return fmt.Errorf("%w: the image is for %s, there is none for %s", ErrRefused, is, a.want)
	}
	a.report.send(Event{Kind: EventWarning, Text: fmt.Sprintf("the image is for %s, this machine is %s: its programs may not start", is, a.want)})
	return nil
}

// plan lists the layers.
func (a *assembler) plan(conf *configFile) {
	a.conf, a.chains = conf, conf.chainIDs()
	for i, d := range a.manifest.Layers {
		a.layers = append(a.layers, &layerJob{index: i, desc: d, diffID: conf.RootFS.DiffIDs[i], done: make(chan struct{})})
	}
}

// readSmall reads and verifies a blob that is parsed in memory.
func readSmall(ctx context.Context, s source, d descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("%w: %s has %d bytes; %d are allowed", ErrRefused, d.Digest, d.Size, maxManifest)
	}
	var data []byte
	err := retry(ctx, nil, func() error {
		r, err := s.open(ctx, d, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		data, err = io.ReadAll(io.LimitReader(r, d.Size+1))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.Digest, err)
	}
	if int64(len(data)) != d.Size || digestOf(data) != d.Digest {
		return nil, fmt.Errorf("%w: %s: content of %d bytes has the digest %s; expected %d bytes", ErrRefused, d.Digest, len(data), digestOf(data), d.Size)
	}
	return data, nil
}

// room refuses what cannot fit before the first byte is fetched.
func (a *assembler) room() error {
	var need int64
	for _, l := range a.layers {
		if l.desc.Size > a.limits.LayerSize {
			return fmt.Errorf("%w: layer %s has %d bytes; %d are allowed", ErrRefused, l.desc.Digest, l.desc.Size, a.limits.LayerSize)
		}
		if !a.store.HasBlob(l.desc.hex()) && !a.store.HasLayer(hexOf(l.diffID)) {
			need += l.desc.Size
		}
	}
	return a.limits.space(a.store, need)
}

// fetchLayers works on several layers at once, in the order of the manifest,
// and stops all of them at the first error.
func (a *assembler) fetchLayers(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots, uncommitted := make(chan struct{}, parallelLayers), make(chan struct{}, maxUncommitted)
	var wg sync.WaitGroup
	for _, j := range a.layers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		j.yield = sync.OnceFunc(func() {
			uncommitted <- struct{}{}
			<-slots
		})
		wg.Go(func() {
			defer func() {
				j.yield()
				<-uncommitted
			}()
			if err := a.layer(ctx, j); err != nil {
				cancel(fmt.Errorf("layer %d of %d (%s): %w", j.index+1, len(a.layers), j.desc.Digest, err))
				return
			}
			close(j.done)
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// layer sees to it that one layer is in the store. A layer is filed under its
// own digest, so that images share it whatever lies below; one that can only
// be unpacked with a look at the layers below is filed under its chain.
func (a *assembler) layer(ctx context.Context, j *layerJob) error {
	diff, chain := hexOf(j.diffID), hexOf(a.chains[j.index])
	if err := a.lease.Hold("layers/"+diff, "layers/"+chain, "blobs/"+j.desc.hex()); err != nil {
		return err
	}
	for _, key := range []string{diff, chain} {
		if a.usable(j, key) {
			return a.have(j, key)
		}
	}
	err := a.make(ctx, j, diff, nil)
	if !errors.Is(err, layer.ErrNeedsLower) {
		return err
	}
	lowers, err := a.lowers(ctx, j.index)
	defer closeAll(lowers)
	if err != nil {
		return err
	}
	return a.make(ctx, j, chain, lowers)
}

// usable: the layer is here and fits this place.
func (a *assembler) usable(j *layerJob, key string) bool {
	if !a.store.HasLayer(key) {
		return false
	}
	info, err := a.store.LayerInfo(key)
	return err == nil && (!info.Dependent || key == hexOf(a.chains[j.index]))
}

func (a *assembler) have(j *layerJob, key string) error {
	j.key = key
	a.event(j, EventExists, j.desc.Size)
	return nil
}

func (a *assembler) event(j *layerJob, kind string, current int64) {
	a.report.send(Event{Kind: kind, Digest: j.desc.Digest, Layer: j.index + 1, Layers: len(a.layers), Current: current, Total: j.desc.Size})
}

// lowers waits for the layers below and opens them, topmost first. They never
// wait for us: each was given its slot before.
func (a *assembler) lowers(ctx context.Context, index int) ([]*os.File, error) {
	var files []*os.File
	for i := index - 1; i >= 0; i-- {
		select {
		case <-a.layers[i].done:
		case <-ctx.Done():
			return files, context.Cause(ctx)
		}
		info, err := a.store.LayerInfo(a.layers[i].key)
		if err != nil {
			return files, err
		}
		f, err := a.store.OpenLayer(a.layers[i].key)
		if err != nil {
			return files, err
		}
		files = append(files, f)
		if info.RootOpaque {
			break
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// image is the record for the store.
func (a *assembler) image() store.Image {
	c := a.conf
	img := store.Image{
		Digest: a.manifest.digest, ID: a.manifest.Config.Digest, MediaType: a.manifest.MediaType,
		Architecture: c.Architecture, OS: c.OS, Variant: c.Variant, Config: c.prepared(),
	}
	if c.Created != nil {
		img.Created = c.Created.UTC()
	}
	for _, j := range a.layers {
		img.Layers = append(img.Layers, store.Layer{Key: j.key, DiffID: j.diffID, Blob: j.desc.Digest, Size: j.desc.Size, MediaType: j.desc.MediaType})
	}
	return img
}
