// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/reference"
)

// ErrPolicy is the base of the error for an image that policy.json forbids.
var ErrPolicy = errors.New("forbidden by the signature policy")

// policyPaths: the first that is there counts. None means that no policy was
// asked for: everything is accepted, as Docker does.
var policyPaths = []string{"/etc/unitc/policy.json", "/etc/containers/policy.json"}

// Policy is the subset of containers-policy.json(5) that can be kept here:
// insecureAcceptAnything, reject, and sigstoreSigned with keys. Any other
// requirement rejects, because a policy that is not understood is not kept.
type Policy struct {
	Default    []requirement                       `json:"default"`
	Transports map[string]map[string][]requirement `json:"transports"`
}

type requirement struct {
	Type           string          `json:"type"`
	KeyPath        string          `json:"keyPath"`
	KeyPaths       []string        `json:"keyPaths"`
	KeyData        string          `json:"keyData"`
	KeyDatas       []string        `json:"keyDatas"`
	SignedIdentity *signedIdentity `json:"signedIdentity"`

	// Present but not supported: their presence rejects.
	Fulcio             json.RawMessage `json:"fulcio"`
	PKI                json.RawMessage `json:"pki"`
	RekorPublicKeyPath json.RawMessage `json:"rekorPublicKeyPath"`
	RekorPublicKeyData json.RawMessage `json:"rekorPublicKeyData"`
	RekorKeyPaths      json.RawMessage `json:"rekorPublicKeyPaths"`
	RekorKeyDatas      json.RawMessage `json:"rekorPublicKeyDatas"`
}

type signedIdentity struct {
	Type             string `json:"type"`
	DockerReference  string `json:"dockerReference"`
	DockerRepository string `json:"dockerRepository"`
	Prefix           string `json:"prefix"`
	SignedPrefix     string `json:"signedPrefix"`
}

// LoadPolicy reads a policy.json; "" means the first of the usual places.
func LoadPolicy(path string) (*Policy, error) {
	paths, read := realm.Configs("policy.json", policyPaths), readConf
	if path != "" {
		paths, read = []string{path}, os.ReadFile
	}
	for _, p := range paths {
		data, err := read(p)
		if errors.Is(err, fs.ErrNotExist) && path == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the policy: %w", err)
		}
		return parsePolicy(p, data)
	}
	return &Policy{Default: []requirement{{Type: "insecureAcceptAnything"}}}, nil
}

// parsePolicy is strict: a misspelt key could mean less protection than its
// author believes.
func parsePolicy(path string, data []byte) (*Policy, error) {
	p := &Policy{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(p.Default) == 0 {
		return nil, fmt.Errorf("reading %s: no default requirement", path)
	}
	return p, nil
}

// requirements finds the rules for an image: the most particular scope of the
// transport, else the transport's default "", else the policy's default.
func (p *Policy) requirements(c candidate) ([]requirement, error) {
	scopes := p.Transports[c.transport]
	candidates := policyScopes(c.ref)
	switch c.transport {
	case "docker":
	case "oci", "oci-archive":
		candidates = pathScopes(c.path, c.tag)
	default:
		for scope := range scopes {
			if scope != "" { // it might forbid just this image
				return nil, fmt.Errorf("%w: transport %q: the scope %q is not supported, only \"\"", ErrPolicy, c.transport, scope)
			}
		}
	}
	for _, scope := range candidates {
		if r, ok := scopes[scope]; ok {
			return r, nil
		}
	}
	if r, ok := scopes[""]; ok {
		return r, nil
	}
	return p.Default, nil
}

// pathScopes are those of a file or directory: with the image's name in it, alone, and
// each directory above but the root. A stream has no path.
func pathScopes(path, tag string) []string {
	if path == "" {
		return nil
	}
	scopes := []string{path + ":" + tag}
	for ; path != "/"; path = filepath.Dir(path) {
		scopes = append(scopes, path)
	}
	return scopes
}

// policyScopes are the scopes of transport docker, most particular first.
func policyScopes(ref reference.Reference) []string {
	if ref.Host == "" {
		return nil
	}
	var scopes []string
	if ref.Digest != "" {
		scopes = append(scopes, ref.Name()+"@"+ref.Digest)
	}
	if ref.Tag != "" {
		scopes = append(scopes, ref.Name()+":"+ref.Tag)
	}
	for name := ref.Name(); ; {
		scopes = append(scopes, name)
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			break
		}
		name = name[:i]
	}
	host, _, _ := strings.Cut(ref.Host, ":")
	for rest := host; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return scopes
		}
		scopes = append(scopes, "*."+after)
		rest = after
	}
}

// candidate is what a policy decides about.
type candidate struct {
	transport string // "docker" for a registry, else that of the file: "oci", "docker-archive", "tarball"
	ref       reference.Reference
	// path and tag say which image of which file or directory, without links; "" for a stream.
	path, tag string
	// digests are those that a signature may be of: the manifest's, and that
	// of the index which named it.
	digests    []string
	signatures func(context.Context, string) ([]signature, error)
	bundled    func(context.Context, string) bool // there are those that cannot be judged
}

// what is asked about, for an error.
func (c *candidate) what() string {
	if c.ref.Host != "" {
		return c.ref.String()
	}
	return strings.TrimSuffix(c.transport+":"+c.path, ":")
}

// check tells whether every requirement is met.
func (p *Policy) check(ctx context.Context, c candidate) error {
	reqs, err := p.requirements(c)
	if err != nil {
		return err
	}
	if len(reqs) == 0 {
		return fmt.Errorf("%w: an empty list of requirements", ErrPolicy)
	}
	for _, r := range reqs {
		if err := r.check(ctx, c); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPolicy, c.what(), err)
		}
	}
	return nil
}

func (r requirement) check(ctx context.Context, c candidate) error {
	switch r.Type {
	case "insecureAcceptAnything":
		return nil
	case "reject":
		return errors.New("images from there are rejected")
	case "sigstoreSigned":
		return r.checkSigned(ctx, c)
	}
	return fmt.Errorf("the requirement %q is not supported", r.Type)
}

func (r requirement) checkSigned(ctx context.Context, c candidate) error {
	for _, unsupported := range []json.RawMessage{r.Fulcio, r.PKI, r.RekorPublicKeyPath, r.RekorPublicKeyData, r.RekorKeyPaths, r.RekorKeyDatas} {
		if unsupported != nil {
			return errors.New("sigstoreSigned is supported with keyPath and keyData, without fulcio, pki and rekor")
		}
	}
	keys, err := r.keys()
	if err != nil {
		return err
	}
	if c.signatures == nil {
		return errors.New("a signature is required, and only a registry can give one")
	}
	var faults []error
	for _, digest := range c.digests {
		sigs, err := c.signatures(ctx, digest)
		if err != nil {
			return fmt.Errorf("fetching signatures: %w", err)
		}
		for _, s := range sigs {
			err := s.verify(keys, digest, c.ref, r.SignedIdentity)
			if err == nil {
				return nil
			}
			faults = append(faults, err)
		}
	}
	if len(faults) == 0 {
		if slices.ContainsFunc(c.digests, func(digest string) bool { return c.bundled(ctx, digest) }) {
			return errors.New("the image's signatures are bundles, as cosign 3 makes them, which do not say for which name they are; sign it with cosign sign --new-bundle-format=false")
		}
		return errors.New("the image has no signature")
	}
	return fmt.Errorf("no signature is good: %w", errors.Join(faults...))
}

func (r requirement) keys() ([]publicKey, error) {
	var pems [][]byte
	for _, p := range append(nonEmpty(r.KeyPath), r.KeyPaths...) {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		pems = append(pems, data)
	}
	for _, d := range append(nonEmpty(r.KeyData), r.KeyDatas...) {
		data, err := base64.StdEncoding.DecodeString(d)
		if err != nil {
			return nil, fmt.Errorf("reading keyData: %w", err)
		}
		pems = append(pems, data)
	}
	if len(pems) == 0 {
		return nil, errors.New("sigstoreSigned without a key")
	}
	var keys []publicKey
	for _, data := range pems {
		k, err := parseKey(data)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
