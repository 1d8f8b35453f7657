// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/reference"
)

// recordVersion is raised when an older unitc could misread an image's file.
const recordVersion = 1

// maxLowers is OVL_MAX_STACK of the kernel's fs/overlayfs/params.h.
const maxLowers = 500

// Image is one image, ready for a start.
type Image struct {
	Version int `json:"version"`
	// Digest is that of the manifest for this platform, ID that of the
	// configuration: what Docker and Podman print as the image's id.
	Digest    string `json:"digest"`
	ID        string `json:"id"`
	MediaType string `json:"mediaType"`
	// Created is when the image was built, as it says of itself.
	Created      time.Time `json:"created,omitzero"`
	Architecture string    `json:"architecture,omitempty"`
	OS           string    `json:"os,omitempty"`
	Variant      string    `json:"variant,omitempty"`
	Config       Config    `json:"config"`
	// Root is what the root directory of a container looks like; an upper
	// directory must be given the same (Upper does).
	Root Attr `json:"root"`
	// Layers are the manifest's, lowest first.
	Layers []Layer `json:"layers"`
	// Lowers are the directories to mount, topmost first: fewer than Layers
	// where one is empty, occurs twice or hides everything below it. In the
	// file they are keys, in an Image from Resolve absolute paths.
	Lowers []string `json:"lowers"`
}

// Layer is one layer of an image.
type Layer struct {
	Key       string `json:"key"`    // name in the layers directory
	DiffID    string `json:"diffID"` // digest of the uncompressed tar
	Blob      string `json:"blob"`   // digest of the tar as it was fetched
	Size      int64  `json:"size"`   // bytes of the blob
	MediaType string `json:"mediaType"`
}

// Config is the part of an image's configuration that a container inherits.
// It is data from a stranger: Env has only entries with a name and "="
// (CVE-2026-57231), Volumes and WorkingDir are absolute and clean.
type Config struct {
	User         string            `json:"User,omitempty"`
	Env          []string          `json:"Env,omitempty"`
	Entrypoint   []string          `json:"Entrypoint,omitempty"`
	Cmd          []string          `json:"Cmd,omitempty"`
	WorkingDir   string            `json:"WorkingDir,omitempty"`
	Volumes      []string          `json:"Volumes,omitempty"`      // sorted
	ExposedPorts []string          `json:"ExposedPorts,omitempty"` // "80/tcp", sorted
	StopSignal   string            `json:"StopSignal,omitempty"`
	Labels       map[string]string `json:"Labels,omitempty"`
	Healthcheck  *Healthcheck      `json:"Healthcheck,omitempty"`
	Shell        []string          `json:"Shell,omitempty"` // of CMD-SHELL, empty = /bin/sh -c
}

// Healthcheck is Docker's: Test begins with NONE, CMD or CMD-SHELL, times are
// nanoseconds, 0 means the default.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"`
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}

// Attr is mode (permission, setuid, setgid and sticky bits), owner and time of
// a root directory.
type Attr struct {
	Mode  uint32    `json:"mode"`
	UID   uint32    `json:"uid"`
	GID   uint32    `json:"gid"`
	MTime time.Time `json:"mtime"`
}

// Platform is what the image says that it is for, "" where it says nothing.
func (i *Image) Platform() string {
	if i.OS == "" || i.Architecture == "" {
		return ""
	}
	return strings.TrimSuffix(i.OS+"/"+i.Architecture+"/"+i.Variant, "/")
}

// Size is the sum of the blobs of the layers, in bytes.
func (i *Image) Size() int64 {
	var n int64
	for _, l := range i.Layers {
		n += l.Size
	}
	return n
}

// ResolveFor finds a local image by name for a platform, "" for this machine's.
// For another one the image may be of any, where the name was not pulled for it.
func (s *Store) ResolveFor(ref, platform string) (Image, error) {
	r, err := reference.Parse(ref)
	if err != nil {
		return Image{}, fmt.Errorf("resolving the image: %w", err)
	}
	r.Platform = reference.Foreign(platform)
	return s.resolveName(r)
}

// Resolve finds a local image by name, by digest ("sha256:…", of manifest or
// configuration) or by the first six or more digits of one. It reads two small
// files, takes no lock and never asks a registry.
func (s *Store) Resolve(ref string) (Image, error) {
	if strings.HasPrefix(ref, "sha256:") {
		return s.resolveHex(ref, hexOf(ref))
	}
	r, err := reference.Parse(ref)
	if err == nil {
		img, err := s.resolveName(r)
		if errors.Is(err, ErrNotFound) {
			img, err = s.resolveForeign(r)
		}
		if err == nil || !errors.Is(err, ErrNotFound) || !hexPrefix(ref) {
			return img, err
		}
	}
	if hexPrefix(ref) {
		return s.resolveHex(ref, ref)
	}
	return Image{}, fmt.Errorf("resolving the image: %w", err)
}

func hexPrefix(s string) bool {
	return len(s) >= 6 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (s *Store) resolveName(r reference.Reference) (Image, error) {
	n, err := s.readName(r)
	if err != nil {
		return Image{}, err
	}
	return s.named(r, n)
}

func (s *Store) resolveForeign(r reference.Reference) (Image, error) {
	n, err := s.foreignName(r)
	if err != nil {
		return Image{}, err
	}
	return s.named(r, n)
}

func (s *Store) named(r reference.Reference, n Name) (Image, error) {
	img, err := s.readImage(hexOf(n.Image))
	if errors.Is(err, os.ErrNotExist) {
		return Image{}, notFound(r.String())
	}
	return img, err
}

func notFound(ref string) error {
	return fmt.Errorf("image %s: %w; fetch it with `unitc pull %s`", ref, ErrNotFound, ref)
}

func (s *Store) resolveHex(ref, hex string) (Image, error) {
	if reference.ValidHex(hex) {
		if img, err := s.readImage(hex); err == nil || !errors.Is(err, os.ErrNotExist) {
			return img, err
		}
	}
	images, err := s.Images()
	if err != nil {
		return Image{}, err
	}
	var found []Image
	for _, img := range images {
		if strings.HasPrefix(hexOf(img.Digest), hex) || strings.HasPrefix(hexOf(img.ID), hex) {
			found = append(found, img)
		}
	}
	switch len(found) {
	case 0:
		return Image{}, fmt.Errorf("image %s: %w; `unitc images` lists what is", ref, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return Image{}, fmt.Errorf("image %s: %d images begin so; write more digits", ref, len(found))
}

// Images gives every image, in the order of the digests.
func (s *Store) Images() ([]Image, error) {
	names, err := readDir(s.path("images"))
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	var images []Image
	for _, name := range names {
		img, err := s.readImage(strings.TrimSuffix(name, ".json"))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed while we read
		}
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}

func (s *Store) imagePath(hex string) string { return s.path("images", hex+".json") }

func (s *Store) readImage(hex string) (Image, error) {
	var img Image
	data, err := os.ReadFile(s.imagePath(hex))
	if err != nil {
		return img, err
	}
	if err := json.Unmarshal(data, &img); err != nil {
		return img, fmt.Errorf("reading image %s: %w; `unitc verify --repair` fetches it again", hex, err)
	}
	if img.Version != recordVersion {
		return img, fmt.Errorf("reading image %s: version %d, this unitc knows %d; pull the image again", hex, img.Version, recordVersion)
	}
	for i, key := range img.Lowers {
		img.Lowers[i] = s.path("layers", key, "fs")
	}
	return img, nil
}

// PutImage records an image whose layers and blobs are in the store, then
// gives it its names. Lowers and Root are worked out here.
func (s *Store) PutImage(img Image, names ...Name) error {
	img.Version = recordVersion
	if err := s.arrange(&img); err != nil {
		return err
	}
	data, err := json.Marshal(img)
	if err != nil {
		return fmt.Errorf("recording image %s: %w", img.Digest, err)
	}
	return s.change(func() error {
		if err := s.writeFile(s.imagePath(hexOf(img.Digest)), data); err != nil {
			return fmt.Errorf("recording image %s: %w", img.Digest, err)
		}
		for _, n := range names {
			n.Image = img.Digest
			n, err := s.postponed(n)
			if err != nil {
				return err
			}
			if err := s.writeName(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// arrange works out what to mount. A layer that occurs twice is mounted once,
// at its upper place, which hides all that the lower one shows: overlayfs
// refuses one directory twice (ELOOP, ovl_setup_trap). An opaque root ends the
// list, because overlayfs does not look at that mark on the root of a layer.
func (s *Store) arrange(img *Image) error {
	img.Lowers, img.Root = nil, Attr{Mode: 0o755, MTime: time.Unix(0, 0).UTC()}
	rooted := false
	for _, l := range slices.Backward(img.Layers) {
		info, err := s.LayerInfo(l.Key)
		if err != nil {
			return fmt.Errorf("recording image %s: %w", img.Digest, err)
		}
		if info.Root != nil && !rooted {
			img.Root, rooted = *info.Root, true
		}
		if info.Entries > 0 && !slices.Contains(img.Lowers, l.Key) {
			img.Lowers = append(img.Lowers, l.Key)
		}
		if info.RootOpaque {
			break
		}
	}
	if len(img.Lowers) == 0 && len(img.Layers) > 0 {
		img.Lowers = []string{img.Layers[len(img.Layers)-1].Key} // nothing but empty layers
	}
	if len(img.Lowers) > maxLowers {
		return fmt.Errorf("recording image %s: %d layers; overlayfs mounts %d", img.Digest, len(img.Lowers), maxLowers)
	}
	return nil
}

// relPath is for messages: a path below the store without the store's own.
func (s *Store) relPath(path string) string {
	if rel, err := filepath.Rel(s.dir, path); err == nil {
		return rel
	}
	return path
}
