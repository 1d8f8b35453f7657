// SPDX-License-Identifier: Apache-2.0

// Package image brings images into the store and out of it: from registries,
// OCI layouts, docker archives and root file system tars. It is linked into the
// command line tool only; the helper that starts a container reads what this
// package has prepared, through the store package.
//
// Everything read here comes from strangers. Digests are verified while bytes
// stream by, sizes and counts are limited, and nothing becomes visible in the
// store before all of it is verified.
package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/unitc/unitc/internal/reference"
)

// ErrRefused is the base of the error for content that breaks a limit or the
// specification.
var ErrRefused = errors.New("refused")

// maxManifest limits manifests, indexes and configurations, which are read
// into memory (CVE-2023-25153). The distribution specification asks clients
// for 4 MiB.
const maxManifest = 4 << 20

// maxIndexDepth: an index of indexes is allowed, not a tower of them.
const maxIndexDepth = 2

// Media types of OCI and Docker.
const (
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIConfig      = "application/vnd.oci.image.config.v1+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeOCILayer       = "application/vnd.oci.image.layer.v1.tar"
	typeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerSchema1  = "application/vnd.docker.distribution.manifest.v1"
)

var acceptManifests = strings.Join([]string{typeOCIIndex, typeDockerIndex, typeOCIManifest, typeDockerManifest}, ", ")

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// ArtifactType is of what is no image.
	ArtifactType string `json:"artifactType,omitempty"`
}

func (d descriptor) hex() string { return strings.TrimPrefix(d.Digest, "sha256:") }

func (d descriptor) check() error {
	if err := reference.CheckDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fmt.Errorf("size %d of %s", d.Size, d.Digest)
	}
	return nil
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// document is a manifest or an index, not yet told apart.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`

	raw    []byte
	digest string
}

// parseDocument reads a manifest or index. One that is both would be another
// image to another reader (CVE-2021-41190).
func parseDocument(raw []byte, mediaType string) (*document, error) {
	d := &document{raw: raw, digest: digestOf(raw)}
	if strings.HasPrefix(mediaType, typeDockerSchema1) {
		return nil, fmt.Errorf("%w: manifest schema 1, which cannot be verified; ask the publisher for a current image", ErrRefused)
	}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %w", ErrRefused, d.digest, err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("%w: manifest %s: %w", ErrRefused, d.digest, err)
	}
	return d, nil
}

func (d *document) check() error {
	switch {
	case d.SchemaVersion != 2:
		return fmt.Errorf("schemaVersion %d, not 2", d.SchemaVersion)
	case d.isIndex() == (d.Config != nil || len(d.Layers) > 0):
		return errors.New("it must have either manifests or a config and layers")
	case d.isIndex() && d.MediaType != "" && d.MediaType != typeOCIIndex && d.MediaType != typeDockerIndex,
		!d.isIndex() && d.MediaType != "" && d.MediaType != typeOCIManifest && d.MediaType != typeDockerManifest:
		return fmt.Errorf("mediaType %q does not fit its content", d.MediaType)
	case !d.isIndex() && d.Config == nil:
		return errors.New("it has no config")
	case len(d.Layers) > maxLayers || len(d.Manifests) > maxManifests:
		return fmt.Errorf("%d layers and %d manifests; %d and %d are allowed", len(d.Layers), len(d.Manifests), maxLayers, maxManifests)
	}
	all := append(append([]descriptor{}, d.Layers...), d.Manifests...)
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	for _, desc := range all {
		if err := desc.check(); err != nil {
			return err
		}
	}
	return nil
}

// maxLayers leaves room for layers that are not mounted (empty ones, repeated
// ones); the store has overlayfs's own limit.
const (
	maxLayers    = 1000
	maxManifests = 1000
)

func (d *document) isIndex() bool { return d.Manifests != nil }

// otherKind is what a manifest is of that registries keep beside images, such as a chart
// or a signature; "" if it says that it is an image.
func (d *document) otherKind() string {
	if d.Config == nil || d.Config.MediaType == typeOCIConfig || d.Config.MediaType == typeDockerConfig {
		return ""
	}
	return cmp.Or(d.ArtifactType, d.Config.MediaType)
}

// pick chooses the manifest for a platform. Attestations and other things that
// are no images have the platform unknown/unknown.
func (d *document) pick(want platform) (descriptor, error) {
	var best *descriptor
	var have []string
	for i, m := range d.Manifests {
		if m.Platform == nil {
			if len(d.Manifests) == 1 {
				return m, nil
			}
			continue
		}
		have = append(have, m.Platform.String())
		if m.Platform.fits(want) && (best == nil || m.Platform.better(*best.Platform, want)) {
			best = &d.Manifests[i]
		}
	}
	if best == nil {
		return descriptor{}, fmt.Errorf("choosing an image for %s: the index has only %s", want, strings.Join(have, ", "))
	}
	return *best, nil
}

func (p platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// fits: an image for an older variant of the architecture runs ("v6" on "v7").
func (p platform) fits(want platform) bool {
	return p.OS == want.OS && p.Architecture == want.Architecture && (want.Variant == "" || p.Variant <= want.Variant)
}

// better: the newest variant that runs, but the plainest where nothing is known
// of the machine ("amd64/v3" would not start on an old one).
func (p platform) better(than, want platform) bool {
	if want.Variant == "" {
		return p.Variant < than.Variant
	}
	return p.Variant > than.Variant
}

// parsePlatform reads "linux/arm64/v8"; "" is this machine.
func parsePlatform(s string) (platform, error) {
	if s == "" {
		p := platform{OS: "linux", Architecture: runtime.GOARCH}
		if p.Architecture == "arm" {
			p.Variant = "v7" // the oldest that Debian's and Fedora's 32-bit ARM runs on
		}
		return p, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) == 1 { // an architecture alone
		parts = []string{"linux", s}
	}
	if len(parts) < 2 || len(parts) > 3 {
		return platform{}, fmt.Errorf("platform %q: write linux/amd64 or linux/arm64/v8", s)
	}
	p := platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
