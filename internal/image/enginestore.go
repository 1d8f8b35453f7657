// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/reference"
)

// engineStore is the storage of podman, buildah and skopeo ("containers-storage",
// driver overlay): images/*.json, a directory of files for each layer, and for
// each layer the tar's skeleton (tarjoin.go), from which the very tar comes back
// that the image's configuration has the digest of. Nothing in it is trusted: a
// user's storage may be read too, and what comes out is verified.
type engineStore struct {
	*dirBundle
	dir    string
	images []engineImage
	layers map[string]engineLayer
}

type engineImage struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
	Layer string   `json:"layer"` // the topmost
}

type engineLayer struct {
	ID     string `json:"id"`
	Parent string `json:"parent"`
	DiffID string `json:"diff-digest"`
	Size   int64  `json:"diff-size"` // of the tar
}

// engineScheme is how skopeo(1) calls it.
const engineScheme = "containers-storage:"

const defaultEngineDir = "/var/lib/containers/storage"

// maxEngineList: a record has about a kilobyte.
const maxEngineList = 64 << 20

// loadEngine takes one image, or all that have names, from what
// containers-transports(5) calls containers-storage:[[driver@]dir]image.
func (c *Client) loadEngine(ctx context.Context, from string, o LoadOptions) ([]Loaded, error) {
	dir, name, err := splitEngine(from)
	if err != nil {
		return nil, err
	}
	e, err := openEngineStore(dir)
	if err != nil {
		return nil, err
	}
	defer e.close()
	chosen, err := e.choose(name)
	if err != nil {
		return nil, err
	}
	if o.Name != "" && len(chosen) != 1 {
		return nil, fmt.Errorf("--name is for one image, %s has %d with names", dir, len(chosen))
	}
	var out []Loaded
	for _, img := range chosen {
		if o.Name != "" {
			img.Names = []string{o.Name}
		}
		l, err := c.loadEngineImage(ctx, e, img, o)
		if err != nil {
			return out, fmt.Errorf("image %s: %w; `podman save %s | unitc load -` goes another way", firstOf(img.Names, img.ID), err, firstOf(img.Names, img.ID))
		}
		out = append(out, l)
	}
	return out, nil
}

func firstOf(names []string, otherwise string) string {
	if len(names) > 0 {
		return names[0]
	}
	return otherwise
}

// splitEngine takes "[driver@dir+rundir:options]name" apart; the part in
// brackets may be missing.
func splitEngine(from string) (dir, name string, err error) {
	store, rest, ok := strings.Cut(from, "]")
	if !ok || !strings.HasPrefix(store, "[") {
		return engineDir(), from, nil
	}
	store = store[1:]
	if driver, at, ok := strings.Cut(store, "@"); ok {
		if driver != "overlay" {
			return "", "", fmt.Errorf("%sstorage driver %q; only overlay can be read", engineScheme, driver)
		}
		store = at
	}
	dir, _, _ = strings.Cut(store, "+")
	if !strings.HasPrefix(dir, "/") {
		return "", "", fmt.Errorf("%s[%s]: no absolute path", engineScheme, dir)
	}
	return dir, rest, nil
}

// engineDir is what storage.conf says (containers-storage.conf(5)).
func engineDir() string {
	for _, path := range []string{"/etc/containers/storage.conf", "/usr/share/containers/storage.conf"} {
		var conf struct {
			Storage struct {
				GraphRoot string `toml:"graphroot"`
			} `toml:"storage"`
		}
		data, err := os.ReadFile(path)
		if err == nil && toml.Unmarshal(data, &conf) == nil && conf.Storage.GraphRoot != "" {
			return conf.Storage.GraphRoot
		}
	}
	return defaultEngineDir
}

func openEngineStore(dir string) (*engineStore, error) {
	b, err := openDirBundle(dir)
	if err != nil {
		return nil, err
	}
	e := &engineStore{dirBundle: b, dir: dir, layers: map[string]engineLayer{}}
	if err := e.read(); err != nil {
		b.close()
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	return e, nil
}

func (e *engineStore) read() error {
	var layers []engineLayer
	if err := e.list("overlay-images/images.json", &e.images); err != nil {
		return err
	}
	if err := e.list("overlay-layers/layers.json", &layers); err != nil {
		return err
	}
	for _, l := range layers {
		e.layers[l.ID] = l
	}
	return nil
}

func (e *engineStore) list(name string, into any) error {
	f, err := e.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Size() > maxEngineList {
		return fmt.Errorf("%w: %s has %d bytes; %d are allowed", ErrRefused, name, f.Size(), maxEngineList)
	}
	return json.NewDecoder(io.LimitReader(f, maxEngineList)).Decode(into)
}

// choose finds an image by its name or the beginning of its ID; "" means all
// that have names.
func (e *engineStore) choose(name string) ([]engineImage, error) {
	var all, found []engineImage
	var names []string
	wanted := possibleNames(name)
	for _, img := range e.images {
		if len(img.Names) > 0 {
			all, names = append(all, img), append(names, img.Names...)
		}
		for _, n := range img.Names {
			if wanted[n] {
				img.Names = []string{n}
				return []engineImage{img}, nil
			}
		}
		if len(name) >= 6 && strings.HasPrefix(img.ID, strings.TrimPrefix(name, "@")) {
			found = append(found, img)
		}
	}
	switch {
	case name == "":
		return all, nil
	case len(found) == 1:
		return found, nil
	case len(found) > 1:
		return nil, fmt.Errorf("%d images in %s begin with %s", len(found), e.dir, name)
	}
	return nil, fmt.Errorf("no image %s in %s; there are %s", name, e.dir, strings.Join(names, ", "))
}

// possibleNames: podman calls what it builds localhost/NAME.
func possibleNames(name string) map[string]bool {
	set := map[string]bool{name: true}
	for _, n := range []string{name, "localhost/" + name} {
		if r, err := reference.Parse(n); err == nil {
			set[r.String()] = true
		}
	}
	return set
}

// loadEngineImage: the manifest there speaks of compressed layers that are not
// kept, so that the image gets one of plain layers, as an archive of docker save
// does. Its ID, the digest of the configuration, stays.
func (c *Client) loadEngineImage(ctx context.Context, e *engineStore, img engineImage, o LoadOptions) (Loaded, error) {
	if !isHex(img.ID) {
		return Loaded{}, fmt.Errorf("%w: image id %q", ErrRefused, img.ID)
	}
	// A file is called by the base64 of its key if that is no plain word.
	config, err := readFile(e, "overlay-images/"+img.ID+"/="+base64.StdEncoding.EncodeToString([]byte("sha256:"+img.ID)))
	if err != nil {
		return Loaded{}, err
	}
	chain := e.chain(img.Layer)
	conf, err := parseConfig(config, len(chain))
	if err != nil {
		return Loaded{}, err
	}
	src := &engineSource{store: e, layers: map[string]string{}}
	var layers []descriptor
	for i, l := range chain {
		if l.DiffID != conf.RootFS.DiffIDs[i] || !isHex(l.ID) {
			return Loaded{}, fmt.Errorf("%w: layer %d is %s, the configuration says %s", ErrRefused, i+1, l.DiffID, conf.RootFS.DiffIDs[i])
		}
		src.layers[l.DiffID] = l.ID
		layers = append(layers, descriptor{MediaType: typeOCILayer, Digest: l.DiffID, Size: l.Size})
	}
	refs, err := parseAll(img.Names)
	if err != nil {
		return Loaded{}, err
	}
	doc, err := synthesize(config, layers)
	if err != nil {
		return Loaded{}, err
	}
	a := &assembler{store: c.Store, source: src, config: config, report: newReporter(c.Progress, firstName(refs, doc.digest)), limits: c.Limits}
	return c.admit(ctx, candidate{transport: "containers-storage"}, a, doc, doc.digest, c.ofThis(refs, o, a, doc.digest))
}

// chain is a layer and what lies below it, lowest first.
func (e *engineStore) chain(id string) []engineLayer {
	var chain []engineLayer
	for id != "" && len(chain) <= maxLayers {
		l, ok := e.layers[id]
		if !ok {
			break // the count will not fit the configuration
		}
		chain = append([]engineLayer{l}, chain...)
		id = l.Parent
	}
	return chain
}

func isHex(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// engineSource gives the tars of layers.
type engineSource struct {
	store  *engineStore
	layers map[string]string // by digest
}

func (s *engineSource) open(_ context.Context, d descriptor, offset int64) (io.ReadCloser, error) {
	id := s.layers[d.Digest]
	skeleton, err := s.store.open("overlay-layers/" + id + ".tar-split.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s kept no description of the layer's tar", ErrRefused, s.store.dir)
	}
	if err != nil {
		return nil, err
	}
	files, err := s.store.root.OpenFile("overlay/"+id+"/diff", os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		skeleton.Close()
		return nil, err
	}
	j, err := newTarJoiner(skeleton, files)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, j, offset); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}
