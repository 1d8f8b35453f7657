// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/reference"
)

// Registries is what registries.conf says (containers-registries.conf(5),
// version 2), as far as it concerns pulling.
type Registries struct {
	UnqualifiedSearch []string          `toml:"unqualified-search-registries"`
	ShortNameMode     string            `toml:"short-name-mode"`
	Registry          []registryConfig  `toml:"registry"`
	Aliases           map[string]string `toml:"aliases"`

	// unheeded are keys of the files that change nothing here, in words.
	unheeded []string
}

type registryConfig struct {
	Prefix             string         `toml:"prefix"`
	Location           string         `toml:"location"`
	Insecure           bool           `toml:"insecure"`
	Blocked            bool           `toml:"blocked"`
	MirrorByDigestOnly bool           `toml:"mirror-by-digest-only"`
	Mirror             []mirrorConfig `toml:"mirror"`
}

type mirrorConfig struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
	// PullFromMirror is "all", "digest-only" or "tag-only".
	PullFromMirror string `toml:"pull-from-mirror"`
}

// registriesPaths: ours, then those of the other engines; the first that is
// there counts, with the drop-ins beside it.
var registriesPaths = []string{"/etc/unitc/registries.conf", "/etc/containers/registries.conf", "/usr/share/containers/registries.conf"}

// LoadRegistries reads a registries.conf and its drop-ins; "" means the first
// of the usual places.
func LoadRegistries(path string) (*Registries, error) {
	if path != "" {
		return readRegistries(path)
	}
	for _, p := range realm.Configs("registries.conf", registriesPaths) {
		_, file := os.Lstat(p)
		_, dir := os.Lstat(p + ".d")
		if file == nil || dir == nil {
			return readRegistries(p)
		}
	}
	return &Registries{}, nil
}

func readRegistries(path string) (*Registries, error) {
	r := &Registries{}
	if err := r.read(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dropins, err := filepath.Glob(path + ".d/*.conf")
	if err != nil {
		return nil, fmt.Errorf("reading %s.d: %w", path, err)
	}
	slices.Sort(dropins)
	for _, d := range dropins {
		if err := r.read(d); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// read adds one file: lists of registries replace an entry of the same prefix,
// aliases are merged, the last search list counts.
func (r *Registries) read(path string) error {
	data, err := readConf(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	var in Registries
	meta, err := toml.Decode(string(data), &in)
	if err == nil {
		err = r.undecoded(path, meta.Undecoded())
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for i := range in.Registry {
		c := &in.Registry[i]
		if err := c.tidy(); err != nil {
			return fmt.Errorf("reading %s: registry %d: %w", path, i+1, err)
		}
		r.Registry = slices.DeleteFunc(r.Registry, func(old registryConfig) bool { return old.Prefix == c.Prefix })
		r.Registry = append(r.Registry, *c)
	}
	if in.UnqualifiedSearch != nil {
		r.UnqualifiedSearch = in.UnqualifiedSearch
	}
	if in.ShortNameMode != "" {
		r.ShortNameMode = in.ShortNameMode
	}
	for from, to := range in.Aliases {
		if r.Aliases == nil {
			r.Aliases = map[string]string{}
		}
		r.Aliases[from] = to
	}
	return nil
}

// undecoded looks at keys that nothing here is for. A list of what is blocked must not
// be passed over; of others it is said.
func (r *Registries) undecoded(path string, keys []toml.Key) error {
	for _, key := range keys {
		switch key[0] {
		case "registries":
			return errors.New("[registries.search], [registries.insecure] and [registries.block] are of version 1 of this format; " +
				"write unqualified-search-registries, and [[registry]] with insecure or blocked")
		case "additional-layer-store-auth-helper": // there is no such store
		case "credential-helpers":
			r.unheeded = append(r.unheeded, path+": credential-helpers changes nothing: name a helper in auth.json, by credsStore or credHelpers")
		default:
			r.unheeded = append(r.unheeded, path+": "+key.String()+" is not known, and changes nothing")
		}
	}
	return nil
}

// tidy checks an entry and gives it its prefix.
func (c *registryConfig) tidy() error {
	places := []*string{&c.Prefix, &c.Location}
	for i := range c.Mirror {
		places = append(places, &c.Mirror[i].Location)
		switch from := c.Mirror[i].PullFromMirror; from {
		case "", "all", "digest-only", "tag-only":
		default:
			return fmt.Errorf("pull-from-mirror = %q: write all, digest-only or tag-only", from)
		}
		if c.Mirror[i].Location == "" {
			return errors.New("a mirror without a location")
		}
	}
	for _, p := range places {
		if strings.Contains(*p, "://") {
			return fmt.Errorf("%q: write it without http:// or https://; insecure = true allows plain HTTP", *p)
		}
		*p = strings.TrimRight(*p, "/")
	}
	if c.Prefix == "" {
		c.Prefix = c.Location
	}
	if c.Prefix == "" {
		return errors.New("it has neither prefix nor location")
	}
	return nil
}

// expand gives what a short name stands for: an alias, else the first search
// registry, else Docker Hub. Asking several registries in turn would let
// whoever owns the name on the first decide what runs. Where the file wants to know
// for sure (short-name-mode), several are none.
func (r *Registries) expand(ref reference.Reference) (reference.Reference, error) {
	if ref.Short == "" {
		return ref, nil
	}
	name := r.Aliases[ref.Short]
	if name == "" && r.ShortNameMode == "enforcing" && len(r.UnqualifiedSearch) > 1 {
		return ref, fmt.Errorf("short name %q: it may be of %s, and short-name-mode in registries.conf is enforcing; write the name with its registry, or an alias",
			ref.Short, strings.Join(r.UnqualifiedSearch, " or "))
	}
	if name == "" && len(r.UnqualifiedSearch) > 0 && r.UnqualifiedSearch[0] != reference.DefaultHost {
		name = r.UnqualifiedSearch[0] + "/" + ref.Short
	}
	if name == "" {
		return ref, nil
	}
	full, err := reference.Parse(name)
	if err != nil {
		return ref, fmt.Errorf("short name %q: %w", ref.Short, err)
	}
	full.Tag, full.Digest, full.Platform = ref.Tag, ref.Digest, ref.Platform
	return full, nil
}

// endpoint is a place to ask for an image.
type endpoint struct {
	host     string
	path     string // repository
	insecure bool   // plain HTTP and unknown certificates are accepted
}

// endpoints gives the mirrors and then the registry itself.
func (r *Registries) endpoints(ref reference.Reference) ([]endpoint, error) {
	c, ok := r.match(ref)
	if !ok {
		return []endpoint{{host: ref.Host, path: ref.Path}}, nil
	}
	if c.Blocked {
		return nil, fmt.Errorf("registry %s is blocked in registries.conf", c.Prefix)
	}
	rest := strings.TrimPrefix(ref.Name(), c.Prefix)
	if strings.HasPrefix(c.Prefix, "*.") {
		rest = strings.TrimPrefix(ref.Name(), ref.Host) // a location stands for the whole host
	}
	var out []endpoint
	for _, m := range c.Mirror {
		byDigest := ref.Digest != ""
		if !byDigest && (c.MirrorByDigestOnly || m.PullFromMirror == "digest-only") || byDigest && m.PullFromMirror == "tag-only" {
			continue
		}
		out = append(out, at(m.Location+rest, m.Insecure))
	}
	if c.Location == "" || strings.HasPrefix(c.Prefix, "*.") && c.Location == c.Prefix {
		return append(out, endpoint{host: ref.Host, path: ref.Path, insecure: c.Insecure}), nil
	}
	return append(out, at(c.Location+rest, c.Insecure)), nil
}

func at(location string, insecure bool) endpoint {
	host, path, _ := strings.Cut(location, "/")
	return endpoint{host: host, path: path, insecure: insecure}
}

// match finds the entry with the longest prefix.
func (r *Registries) match(ref reference.Reference) (registryConfig, bool) {
	var best registryConfig
	for _, c := range r.Registry {
		if matches(c.Prefix, ref) && len(c.Prefix) > len(best.Prefix) {
			best = c
		}
	}
	return best, best.Prefix != ""
}

// matches: "host", "host/path…" at a component's end, or "*.domain".
func matches(prefix string, ref reference.Reference) bool {
	if domain, ok := strings.CutPrefix(prefix, "*"); ok {
		host, _, _ := strings.Cut(ref.Host, ":")
		return strings.HasPrefix(domain, ".") && strings.HasSuffix(host, domain)
	}
	for _, name := range []string{ref.Name(), ref.String()} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && (rest == "" || strings.IndexByte("/:@", rest[0]) >= 0) {
			return true
		}
	}
	return false
}
