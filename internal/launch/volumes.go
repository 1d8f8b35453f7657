// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/store"
)

// volumeTimeout bounds the wait for another unit that is filling the same
// volume; the start's own time-out, 90 s as systemd comes, is longer.
const volumeTimeout = 80 * time.Second

// volumeFinder finds, or makes, the volumes of one start.
type volumeFinder struct {
	service *definition.Service
	image   *store.Image // nil without one
	store   *store.Store
	make    bool // else only look
}

// findVolumes says what is mounted for each volume that is no path of the host.
func (f *volumeFinder) findVolumes(facts *planner.Image) (map[string]planner.VolumeSource, error) {
	var found map[string]planner.VolumeSource
	for _, v := range planner.Volumes(f.service, facts) {
		if v.Type != definition.VolumeNamed && v.Type != definition.VolumeImage {
			continue
		}
		if f.store == nil {
			var err error
			if f.store, err = store.Open(""); err != nil {
				return nil, err
			}
			found = map[string]planner.VolumeSource{}
			if f.make && f.service.Image == "" {
				// What an earlier start noted, nothing may have swept up yet.
				if err := f.store.Unuse(f.service.UnitName()); err != nil {
					return nil, err
				}
			}
		}
		source, err := f.find(v)
		if err != nil {
			return nil, f.fault(v, err)
		}
		found[v.Target] = source
	}
	return found, nil
}

func (f *volumeFinder) find(v definition.Volume) (planner.VolumeSource, error) {
	if v.Type == definition.VolumeImage {
		return f.findImage(v)
	}
	want := f.describe(v)
	if d := v.Declared; d != nil && d.External {
		have, err := f.store.Volume(want.Name)
		if err != nil {
			return planner.VolumeSource{}, err
		}
		want.Options = have.Options
	}
	if err := store.CheckVolumeName(want.Name); err != nil {
		return planner.VolumeSource{}, err
	}
	have, err := want, error(nil)
	if f.make {
		ctx, cancel := context.WithTimeout(context.Background(), volumeTimeout)
		defer cancel()
		have, err = f.store.EnsureVolume(ctx, want, f.seed(v))
	} else if there, missing := f.store.Volume(want.Name); missing == nil {
		have = there
	}
	if err != nil {
		return planner.VolumeSource{}, err
	}
	if v.Declared != nil && !v.Declared.External && !maps.Equal(have.Options, want.Options) {
		if have, err = f.reconcile(have, want.Options); err != nil {
			return planner.VolumeSource{}, err
		}
	}
	if at := v.Declared.MountPoint(); at != "" {
		return planner.VolumeSource{Path: at}, nil
	}
	m, err := f.store.MountOf(have)
	if err == nil && m.Type != "bind" {
		err = &undeclaredError{have.Name, m.Type}
	}
	return planner.VolumeSource{Path: m.Source, Options: slices.DeleteFunc(m.Options, func(o string) bool { return o == "rbind" })}, err
}

// findImage gives the layers of an image that is mounted; it stays while the
// unit runs, as the unit's own does.
func (f *volumeFinder) findImage(v definition.Volume) (planner.VolumeSource, error) {
	resolve := f.store.Resolve
	if f.make {
		resolve = func(ref string) (store.Image, error) { return f.store.AlsoUse(ref, f.service.UnitName()) }
	}
	img, err := resolve(v.Source)
	if err != nil {
		return planner.VolumeSource{}, &noImageError{v.Source, err}
	}
	return planner.VolumeSource{Layers: img.Lowers}, nil
}

// reconcile: the definition may give another size, as it may give another
// limit of memory; other options would be another volume.
func (f *volumeFinder) reconcile(have store.Volume, want map[string]string) (store.Volume, error) {
	if !store.SameButSize(have.Options, want) {
		return have, &optionsError{have.Name}
	}
	if !f.make {
		return have, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), volumeTimeout)
	defer cancel()
	return f.store.Resize(ctx, have.Name, want["size"])
}

func (f *volumeFinder) describe(v definition.Volume) store.Volume {
	want := store.Volume{Name: v.Source, Used: true}
	if v.Source == "" {
		want.Name, want.Anonymous, want.Unit = store.AnonymousName(f.service.UnitName(), v.Target), true, f.service.UnitName()
	}
	if d := v.Declared; d != nil {
		want.Options, want.Labels = mapOf(d.Options), mapOf(d.Labels)
		if want.Options["size"] == "0" {
			delete(want.Options, "size") // it takes the limit from one that has it
		}
	}
	return want
}

// seed: as Docker does, a new volume begins with what the image has there.
func (f *volumeFinder) seed(v definition.Volume) *store.Seed {
	if f.image == nil || v.NoCopy || v.Subpath != "" {
		return nil
	}
	return &store.Seed{Image: f.image, Path: v.Target}
}

func mapOf(list []definition.KeyValue) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, kv := range list {
		m[kv.Key] = kv.Value
	}
	return m
}

type optionsError struct{ name string }

func (e *optionsError) Error() string {
	return "volume " + e.name + " was made with other options"
}

type undeclaredError struct{ name, kind string }

func (e *undeclaredError) Error() string {
	return fmt.Sprintf("volume %s is a file system of type %s, which needs a mount unit", e.name, e.kind)
}

type noImageError struct {
	image string
	err   error
}

func (e *noImageError) Error() string {
	if errors.Is(e.err, store.ErrNotFound) {
		return e.image + ": " + store.ErrNotFound.Error() // the store's own cure is not ours
	}
	return e.err.Error()
}

// fault puts an error at the volume's line.
func (f *volumeFinder) fault(v definition.Volume, err error) error {
	cure := "look at `unitc volume inspect " + v.Source + "`"
	var options *optionsError
	var undeclared *undeclaredError
	var noImage *noImageError
	var file *fs.PathError
	switch {
	case errors.As(err, &noImage):
		cure = "fetch it with `unitc pull " + v.Source + "` or look at its image unit in `systemctl --failed`"
	case errors.Is(err, store.ErrNotFound):
		cure = "make it with `unitc volume create " + v.Source + "`, or remove `external:`"
	case errors.Is(err, store.ErrNoQuota):
		cure = "mount it with prjquota, for ext4 after `tune2fs -O project,quota DEVICE` while it is not mounted (the root file system takes rootflags=prjquota), or " +
			"give the volume a file system of its own with type:, device: and o:, or remove size:"
	case errors.Is(err, unix.EDQUOT) && v.Declared != nil && len(v.Declared.Options) > 0:
		cure = "write a larger size:, or nocopy: true at the mount"
	case storeCure(err) != "" && (!errors.Is(err, unix.ENOSPC) || errors.As(err, &file)):
		cure = storeCure(err)
	case errors.As(err, &options):
		cure = "write driver_opts: as `unitc volume inspect " + v.Source + "` has them, or remove it with `unitc volume rm`"
	case errors.As(err, &undeclared):
		cure = "write its driver_opts: in the project's volumes: in place of external:"
	}
	return &planner.KeyError{Key: planner.VolumeKey(f.service, v.Target), What: err.Error(), Cure: cure}
}
