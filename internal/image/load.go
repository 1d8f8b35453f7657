// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// LoadOptions say what is to be made of an archive.
type LoadOptions struct {
	// Name is given to the image if the archive has one image; otherwise the
	// names in the archive count.
	Name     string
	Platform string
	// RootFS: the archive is the tar of a root file system. Cmd, Entrypoint
	// and Env are for its configuration.
	RootFS          bool
	Cmd, Entrypoint []string
	Env             []string

	path string // what is loaded, without links; "" for a stream
}

// Loaded is one image that came in, with the names it got.
type Loaded struct {
	Image store.Image
	Names []string
}

// Load reads an OCI layout (a directory or a tar), the archive of docker save
// or podman save, or the tar of a root file system; any of the tars may be
// compressed. "-" is standard input.
func (c *Client) Load(ctx context.Context, from string, o LoadOptions) ([]Loaded, error) {
	out, err := c.load(ctx, from, o)
	if err != nil {
		return out, fmt.Errorf("loading %s: %w", from, err)
	}
	return out, nil
}

func (c *Client) load(ctx context.Context, from string, o LoadOptions) ([]Loaded, error) {
	if from == "-" {
		return c.LoadReader(ctx, os.Stdin, o)
	}
	if name, ok := strings.CutPrefix(from, engineScheme); ok {
		return c.loadEngine(ctx, name, o)
	}
	st, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	if o.path, err = filepath.Abs(from); err == nil {
		o.path, err = filepath.EvalSymlinks(o.path)
	}
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		b, err := openDirBundle(from)
		if err != nil {
			return nil, err
		}
		defer b.close()
		if o.RootFS {
			return nil, errors.New("a directory; use it as rootfs: in the definition, or pack it with tar")
		}
		return c.loadLayout(ctx, "oci", b, o)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Mode().IsRegular() && isTar(f) {
		return c.loadTar(ctx, f, o)
	}
	return c.LoadReader(ctx, f, o)
}

// LoadReader is Load from a stream.
func (c *Client) LoadReader(ctx context.Context, r io.Reader, o LoadOptions) ([]Loaded, error) {
	f, err := c.spool(ctx, r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return c.loadTar(ctx, f, o)
}

func (c *Client) loadTar(ctx context.Context, f *os.File, o LoadOptions) ([]Loaded, error) {
	if o.RootFS {
		return c.loadRootFS(ctx, f, o)
	}
	b, err := openTarBundle(f)
	if err != nil {
		return nil, err
	}
	switch {
	case b.has("index.json") && b.has("oci-layout"):
		return c.loadLayout(ctx, "oci-archive", b, o)
	case b.has("manifest.json"):
		return c.loadDocker(ctx, b, o)
	}
	return nil, errors.New("neither an OCI layout nor a docker archive; for the tar of a root file system use --rootfs and --name")
}

// Annotations that carry names in an OCI layout.
const (
	annotationRefName   = "org.opencontainers.image.ref.name"
	annotationImageName = "io.containerd.image.name"
)

func (c *Client) loadLayout(ctx context.Context, transport string, b bundle, o LoadOptions) ([]Loaded, error) {
	raw, err := readFile(b, "index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no OCI layout: index.json is missing")
	}
	if err != nil {
		return nil, err
	}
	index, err := parseDocument(raw, typeOCIIndex)
	if err != nil {
		return nil, err
	}
	if !index.isIndex() {
		return nil, fmt.Errorf("%w: index.json is no index", ErrRefused)
	}
	images := withoutAttachments(index.Manifests)
	if left := len(index.Manifests) - len(images); left > 0 {
		newReporter(c.Progress, o.path).send(Event{Kind: EventWarning, Text: fmt.Sprintf("%d of %d entries are left out: they are no images, but what belongs to one, as signatures", left, len(index.Manifests))})
	}
	if o.Name != "" && len(images) != 1 {
		return nil, fmt.Errorf("--name is for one image, the layout has %d", len(images))
	}
	src := &bundleSource{bundle: b}
	var out []Loaded
	for _, d := range images {
		l, err := c.loadManifest(ctx, transport, src, d, o)
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
	return out, nil
}

// withoutAttachments leaves out what layouts have beside an image, as `cosign save` and
// copies with referrers write it. If nothing is left the first of them says what it is.
func withoutAttachments(all []descriptor) []descriptor {
	images := slices.DeleteFunc(slices.Clone(all), func(d descriptor) bool {
		switch d.Annotations["kind"] {
		case "dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts":
			return true
		}
		return d.ArtifactType != "" && d.ArtifactType != typeOCIConfig && d.ArtifactType != typeDockerConfig
	})
	if len(images) == 0 {
		return all
	}
	return images
}

func (c *Client) loadManifest(ctx context.Context, transport string, src *bundleSource, d descriptor, o LoadOptions) (Loaded, error) {
	get := func(d descriptor) (*document, error) {
		raw, err := readSmall(ctx, src, d)
		if err != nil {
			return nil, err
		}
		return parseDocument(raw, d.MediaType)
	}
	doc, err := get(d)
	if err != nil {
		return Loaded{}, err
	}
	index := doc
	if doc, err = choose(ctx, doc, o.Platform, get); err != nil {
		return Loaded{}, err
	}
	if index == doc {
		if index, err = indexOf(ctx, src.bundle, d, doc, o.Platform); err != nil {
			return Loaded{}, err
		}
	}
	target := doc.digest
	if index != nil {
		target = index.digest
	}
	refs, err := layoutNames(d, o)
	if err != nil {
		return Loaded{}, err
	}
	a := &assembler{store: c.Store, source: src, report: newReporter(c.Progress, firstName(refs, target)), limits: c.Limits, index: index}
	return c.admit(ctx, candidate{transport: transport, path: o.path, tag: d.Annotations[annotationRefName]}, a, doc, target, c.ofThis(refs, o, a, doc.digest, target))
}

// ofThis leaves out names with the digest of something else: who writes an archive could
// put anything under a digest that a definition is pinned to. The operator's own --name
// counts.
func (c *Client) ofThis(refs []reference.Reference, o LoadOptions, a *assembler, digests ...string) (kept []reference.Reference) {
	for _, r := range refs {
		if r.Digest == "" || o.Name != "" || slices.Contains(digests, r.Digest) {
			kept = append(kept, r)
			continue
		}
		a.report.send(Event{Kind: EventWarning, Text: "the name " + r.String() + " is left out: the image has the digest " + digests[0] + "; --name names it"})
	}
	return kept
}

// layoutNames: a tag alone ("latest", as skopeo writes it) names nothing.
func layoutNames(d descriptor, o LoadOptions) ([]reference.Reference, error) {
	name := o.Name
	if name == "" {
		name = d.Annotations[annotationImageName]
	}
	if name == "" {
		name = d.Annotations[annotationPinned]
	}
	if name == "" {
		if name = d.Annotations[annotationRefName]; !strings.ContainsAny(name, "/:") {
			return nil, nil
		}
	}
	r, err := reference.Parse(name)
	if err != nil {
		return nil, err
	}
	return []reference.Reference{r}, nil
}

func firstName(refs []reference.Reference, otherwise string) string {
	if len(refs) > 0 {
		return refs[0].String()
	}
	return otherwise
}

// admit asks the policy and brings the image in.
func (c *Client) admit(ctx context.Context, who candidate, a *assembler, doc *document, target string, refs []reference.Reference) (Loaded, error) {
	policy, err := LoadPolicy(c.PolicyFile)
	if err != nil {
		return Loaded{}, err
	}
	who.digests = []string{doc.digest}
	if err := policy.check(ctx, who); err != nil {
		return Loaded{}, err
	}
	var l Loaded
	var names []store.Name
	for _, r := range refs {
		names = append(names, store.NewName(r, target, c.Now()))
		l.Names = append(l.Names, r.String())
	}
	if l.Image, err = a.run(ctx, doc, names...); err != nil {
		return Loaded{}, err
	}
	return l, nil
}

// dockerImage is an entry of docker save's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (c *Client) loadDocker(ctx context.Context, b bundle, o LoadOptions) ([]Loaded, error) {
	raw, err := readFile(b, "manifest.json")
	if err != nil {
		return nil, err
	}
	var images []dockerImage
	if err := json.Unmarshal(raw, &images); err != nil {
		return nil, fmt.Errorf("%w: manifest.json: %w", ErrRefused, err)
	}
	if o.Name != "" && len(images) != 1 {
		return nil, fmt.Errorf("--name is for one image, the archive has %d", len(images))
	}
	var out []Loaded
	for _, img := range images {
		l, err := c.loadDockerImage(ctx, b, img, o)
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
	return out, nil
}

func (c *Client) loadDockerImage(ctx context.Context, b bundle, img dockerImage, o LoadOptions) (Loaded, error) {
	config, err := readFile(b, img.Config)
	if err != nil {
		return Loaded{}, err
	}
	conf, err := parseConfig(config, len(img.Layers))
	if err != nil {
		return Loaded{}, err
	}
	if len(img.Layers) > maxLayers { // before each of them is read
		return Loaded{}, fmt.Errorf("%w: %d layers; %d are allowed", ErrRefused, len(img.Layers), maxLayers)
	}
	src := &bundleSource{bundle: b, paths: map[string]string{}}
	var layers []descriptor
	for i, name := range img.Layers {
		if err := ctx.Err(); err != nil {
			return Loaded{}, err
		}
		d, err := describe(b, name, conf.RootFS.DiffIDs[i])
		if err != nil {
			return Loaded{}, err
		}
		src.paths[d.Digest] = name
		layers = append(layers, d)
	}
	tags := img.RepoTags
	if o.Name != "" {
		tags = []string{o.Name}
	}
	refs, err := parseAll(tags)
	if err != nil {
		return Loaded{}, err
	}
	doc, err := synthesize(config, layers)
	if err != nil {
		return Loaded{}, err
	}
	a := &assembler{store: c.Store, source: src, config: config, report: newReporter(c.Progress, firstName(refs, doc.digest)), limits: c.Limits}
	return c.admit(ctx, candidate{transport: "docker-archive", path: o.path}, a, doc, doc.digest, c.ofThis(refs, o, a, doc.digest))
}

func parseAll(names []string) ([]reference.Reference, error) {
	var refs []reference.Reference
	for _, n := range names {
		r, err := reference.Parse(n)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// describe makes the descriptor of a layer in a docker archive. An
// uncompressed one has the digest that the configuration says; it is verified
// on the way in.
func describe(b bundle, name, diffID string) (descriptor, error) {
	f, err := b.open(name)
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close()
	d := descriptor{MediaType: typeOCILayer, Digest: diffID, Size: f.Size()}
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err != nil || magic[0] != 0x1f && magic[0] != 0x28 {
		return d, nil
	}
	d.MediaType += "+gzip"
	if magic[0] == 0x28 {
		d.MediaType = typeOCILayer + "+zstd"
	}
	h := newHashReader(f)
	if _, err := io.Copy(io.Discard, h); err != nil {
		return d, err
	}
	d.Digest = h.digest()
	return d, nil
}

// synthesize makes the OCI manifest of an image that came without one: the
// same image gives the same manifest.
func synthesize(config []byte, layers []descriptor) (*document, error) {
	raw, err := json.Marshal(document{
		SchemaVersion: 2, MediaType: typeOCIManifest, Layers: layers,
		Config: &descriptor{MediaType: typeOCIConfig, Digest: digestOf(config), Size: int64(len(config))},
	})
	if err != nil {
		return nil, err
	}
	return parseDocument(raw, typeOCIManifest)
}

// loadRootFS makes an image of one layer.
func (c *Client) loadRootFS(ctx context.Context, f *os.File, o LoadOptions) ([]Loaded, error) {
	refs, err := parseAll([]string{o.Name})
	if err != nil {
		return nil, err
	}
	if err := whole(f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	h := newHashReader(f)
	if _, err := io.Copy(io.Discard, h); err != nil {
		return nil, err
	}
	p, err := parsePlatform(o.Platform)
	if err != nil {
		return nil, err
	}
	conf := configFile{Architecture: p.Architecture, OS: p.OS, Variant: p.Variant}
	conf.Config.Cmd, conf.Config.Entrypoint, conf.Config.Env = o.Cmd, o.Entrypoint, o.Env
	conf.RootFS.Type, conf.RootFS.DiffIDs = "layers", []string{h.digest()}
	config, err := json.Marshal(conf)
	if err != nil {
		return nil, err
	}
	doc, err := synthesize(config, []descriptor{{MediaType: typeOCILayer, Digest: h.digest(), Size: h.n}})
	if err != nil {
		return nil, err
	}
	a := &assembler{store: c.Store, source: fileSource{f}, config: config, report: newReporter(c.Progress, refs[0].String()), limits: c.Limits}
	l, err := c.admit(ctx, candidate{transport: "tarball", path: o.path}, a, doc, doc.digest, refs)
	if err != nil {
		return nil, err
	}
	return []Loaded{l}, nil
}

// whole asks for the end of archive that tar(5) promises: no digest says that
// a tar from a pipe is complete.
func whole(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	end := make([]byte, 1024)
	if _, err := f.ReadAt(end, st.Size()-1024); err != nil || strings.Trim(string(end), "\x00") != "" {
		return fmt.Errorf("%w: the tar is cut off: two blocks of zeros must end it", ErrRefused)
	}
	return nil
}

// fileSource is the one layer of a root file system.
type fileSource struct{ f *os.File }

func (s fileSource) open(_ context.Context, d descriptor, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.f, offset, d.Size-offset)), nil
}
