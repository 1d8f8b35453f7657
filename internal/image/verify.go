// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// Fault is something in the store that is not as it was put there.
type Fault struct {
	Image    string   `json:"image"` // digest
	Names    []string `json:"names,omitempty"`
	What     string   `json:"what"`
	Repaired bool     `json:"repaired"`
}

// Verify reads everything again: blobs are hashed, layers are unpacked once
// more beside the old ones and compared file by file. With repair, what differs
// is replaced, from the stored blobs or, where those are bad, the registry.
func (c *Client) Verify(ctx context.Context, repair bool) ([]Fault, error) {
	images, err := c.Store.Images()
	if err != nil {
		return nil, err
	}
	names, err := c.Store.Names()
	if err != nil {
		return nil, err
	}
	checked := map[string]bool{}
	var all []Fault
	for _, img := range images {
		v := &verification{c: c, img: img, repair: repair, checked: checked}
		for _, n := range names {
			if n.Image == img.Digest {
				v.names = append(v.names, n)
			}
		}
		err := v.run(ctx)
		all = append(all, v.faults...)
		if err != nil {
			return all, fmt.Errorf("verifying %s: %w", img.Digest, err)
		}
	}
	return all, nil
}

type verification struct {
	c       *Client
	img     store.Image
	names   []store.Name
	repair  bool
	checked map[string]bool // layers and blobs seen with an earlier image
	faults  []Fault
	fetch   bool // something is missing that only the registry has
}

func (v *verification) fault(repaired bool, format string, args ...any) {
	f := Fault{Image: v.img.Digest, What: fmt.Sprintf(format, args...), Repaired: repaired}
	for _, n := range v.names {
		f.Names = append(f.Names, n.Ref)
	}
	v.faults = append(v.faults, f)
}

func (v *verification) run(ctx context.Context) error {
	a, err := v.assembler()
	if err != nil {
		v.fault(false, "%v", err)
		v.fetch = true
	} else {
		for _, j := range a.layers {
			if err := v.layer(ctx, a, j); err != nil {
				return err
			}
		}
	}
	if v.fetch && v.repair {
		return v.refetch(ctx)
	}
	return nil
}

// assembler is as the one that brought the image in, from the stored manifest
// and configuration.
func (v *verification) assembler() (*assembler, error) {
	s := v.c.Store
	raw, err := v.small(v.img.Digest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	doc, err := parseDocument(raw, v.img.MediaType)
	if err != nil {
		return nil, err
	}
	if raw, err = v.small(v.img.ID); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	conf, err := parseConfig(raw, len(doc.Layers))
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(conf.prepared(), v.img.Config) {
		return nil, errors.New("the prepared configuration is not that of the image")
	}
	a := &assembler{store: s, manifest: doc, report: newReporter(v.c.Progress, v.img.Digest), limits: v.c.Limits}
	a.plan(conf)
	for i, j := range a.layers {
		if i < len(v.img.Layers) {
			j.key = v.img.Layers[i].Key
		}
		close(j.done)
	}
	return a, nil
}

func (v *verification) small(digest string) ([]byte, error) {
	raw, err := v.c.Store.ReadBlob(hexOf(digest), maxManifest)
	if err == nil && digestOf(raw) != digest {
		err = fmt.Errorf("blob %s: %w", digest, errDamaged)
		if v.repair {
			err = errors.Join(err, v.c.Store.RemoveBlob(hexOf(digest)))
		}
	}
	return raw, err
}

// layer verifies one layer and its blob.
func (v *verification) layer(ctx context.Context, a *assembler, j *layerJob) error {
	if v.checked[j.key] {
		return nil
	}
	v.checked[j.key] = true
	f, err := v.c.Store.OpenBlob(j.desc.hex())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return v.withoutBlob(j) // pruned
	case err != nil:
		return err
	}
	defer f.Close()
	lock, err := v.c.Store.Acquire(ctx, j.key, nil)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	staged, err := v.c.Store.StageLayer(lock)
	if err != nil {
		return err
	}
	err = v.again(ctx, a, j, f, staged)
	return errors.Join(err, staged.Discard())
}

// again unpacks the layer anew and compares.
func (v *verification) again(ctx context.Context, a *assembler, j *layerJob, f *os.File, staged *store.StagedLayer) error {
	var lowers []*os.File
	if info, err := v.c.Store.LayerInfo(j.key); j.index > 0 && (err != nil || info.Dependent) {
		if lowers, err = a.lowers(ctx, j.index); err != nil {
			return err
		}
		defer closeAll(lowers)
	}
	err := a.unpack(ctx, j, f, staged, lowers)
	if errors.Is(err, errDamaged) || errors.Is(err, ErrRefused) || errors.Is(err, layer.ErrRefused) {
		if v.repair {
			err = errors.Join(err, v.c.Store.RemoveBlob(j.desc.hex()))
		}
		v.fault(v.repair, "blob of layer %d: %v", j.index+1, err)
		return v.withoutBlob(j)
	}
	if err != nil {
		return err
	}
	differences, err := v.compare(j, staged)
	if err != nil || len(differences) == 0 {
		return err
	}
	if v.repair {
		if err := v.c.Store.Replace(staged); err != nil {
			return err
		}
	}
	for _, d := range differences {
		v.fault(v.repair, "layer %d: %s", j.index+1, d)
	}
	return nil
}

func (v *verification) compare(j *layerJob, staged *store.StagedLayer) ([]string, error) {
	want, err := os.Open(staged.FS())
	if err != nil {
		return nil, err
	}
	defer want.Close()
	have, err := v.c.Store.OpenLayer(j.key)
	if errors.Is(err, os.ErrNotExist) {
		return []string{"is missing"}, nil
	}
	if err != nil {
		return nil, err
	}
	defer have.Close()
	if info, err := v.c.Store.LayerInfo(j.key); err != nil || info.DiffID != j.diffID {
		return []string{"its description is damaged"}, nil
	}
	return layer.Compare(want, have)
}

// withoutBlob can only see whether the layer is there at all.
func (v *verification) withoutBlob(j *layerJob) error {
	if _, err := v.c.Store.LayerInfo(j.key); err != nil {
		v.fault(false, "layer %d: %v", j.index+1, err)
		v.fetch = true
		if v.repair {
			return v.c.Store.RemoveLayer(j.key)
		}
	}
	return nil
}

// refetch asks the registry for exactly this image.
func (v *verification) refetch(ctx context.Context) error {
	var faults []error
	for _, n := range v.names {
		ref, err := reference.Parse(n.Ref)
		if err != nil {
			return err
		}
		byDigest := ref
		byDigest.Digest = v.img.Digest
		img, err := v.c.fetch(ctx, byDigest, PullOptions{})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if img.Digest == v.img.Digest {
			for i := range v.faults {
				v.faults[i].Repaired = true
			}
			return nil
		}
	}
	v.fault(false, "fetching it again: %v", errors.Join(faults...))
	return nil
}
