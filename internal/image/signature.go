// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/reference"
)

// signature is one sigstore attachment: a payload that names a digest and a
// repository, and the signature of that payload.
type signature struct {
	payload []byte
	sig     []byte
}

// publicKey verifies the signature of a message.
type publicKey interface {
	verify(message, sig []byte) bool
}

type ecdsaKey struct{ *ecdsa.PublicKey }
type rsaKey struct{ *rsa.PublicKey }
type ed25519Key struct{ ed25519.PublicKey }

func (k ecdsaKey) verify(message, sig []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.PublicKey, sum[:], sig)
}

func (k rsaKey) verify(message, sig []byte) bool {
	sum := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(k.PublicKey, crypto.SHA256, sum[:], sig) == nil
}

func (k ed25519Key) verify(message, sig []byte) bool {
	return ed25519.Verify(k.PublicKey, message, sig)
}

func parseKey(data []byte) (publicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("reading a key: not in PEM form")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsaKey{k}, nil
	case *rsa.PublicKey:
		return rsaKey{k}, nil
	case ed25519.PublicKey:
		return ed25519Key{k}, nil
	}
	return nil, fmt.Errorf("reading a key: type %T is not supported", key)
}

// simpleSigning is the payload (containers "simple signing", as cosign writes
// it).
type simpleSigning struct {
	Critical struct {
		Type  string `json:"type"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
	} `json:"critical"`
}

// verify: signed by one of the keys, of this digest, for this name.
func (s signature) verify(keys []publicKey, digest string, ref reference.Reference, want *signedIdentity) error {
	signed := false
	for _, k := range keys {
		signed = signed || k.verify(s.payload, s.sig)
	}
	if !signed {
		return errors.New("made with another key")
	}
	var p simpleSigning
	if err := json.Unmarshal(s.payload, &p); err != nil {
		return fmt.Errorf("reading a signed payload: %w", err)
	}
	if t := p.Critical.Type; t != "cosign container image signature" && t != "atomic container signature" {
		return fmt.Errorf("a signature of type %q", t)
	}
	if p.Critical.Image.Digest != digest {
		return fmt.Errorf("a signature of %s", p.Critical.Image.Digest)
	}
	return matchIdentity(p.Critical.Identity.Reference, ref, want)
}

// matchIdentity compares the name that was signed with the one asked for
// (containers-policy.json(5), signedIdentity). cosign signs a repository
// without a tag, which the default accepts only under matchRepository or when
// a digest was asked for.
func matchIdentity(signed string, ref reference.Reference, want *signedIdentity) error {
	rule := "matchRepoDigestOrExact"
	if want != nil && want.Type != "" {
		rule = want.Type
	}
	name, tag := splitSigned(signed)
	ok := false
	switch rule {
	case "matchExact":
		ok = name == ref.Name() && tag == ref.Tag && ref.Tag != ""
	case "matchRepoDigestOrExact":
		ok = name == ref.Name() && (ref.Digest != "" || tag == ref.Tag)
	case "matchRepository":
		ok = name == ref.Name()
	case "exactReference":
		ok = want.DockerReference != "" && canonical(signed) == canonical(want.DockerReference)
	case "exactRepository":
		ok = want.DockerRepository != "" && name == repository(want.DockerRepository)
	case "remapIdentity":
		mapped := ref.Name()
		if rest, has := strings.CutPrefix(mapped, want.Prefix); has && want.Prefix != "" && (rest == "" || rest[0] == '/') {
			mapped = want.SignedPrefix + rest
		}
		ok = name == mapped && (ref.Digest != "" || tag == ref.Tag)
	default:
		return fmt.Errorf("signedIdentity of type %q is not supported", rule)
	}
	if !ok {
		return fmt.Errorf("signed for %q, which %s does not accept for %s", signed, rule, ref)
	}
	return nil
}

// splitSigned reads the name in a payload: unlike one that an operator writes,
// a missing tag stays missing.
func splitSigned(s string) (name, tag string) {
	r, err := reference.Parse(s)
	if err != nil {
		return "", ""
	}
	base, _, _ := strings.Cut(s, "@")
	if !strings.Contains(base[strings.LastIndexByte(base, '/')+1:], ":") {
		return r.Name(), ""
	}
	return r.Name(), r.Tag
}

func repository(s string) string { name, _ := splitSigned(s); return name }

func canonical(s string) string {
	name, tag := splitSigned(s)
	return name + ":" + tag
}

const cosignAnnotation = "dev.cosignproject.cosign/signature"

// maxSignatures and maxPayload bound what a stranger may attach.
const (
	maxSignatures = 64
	maxPayload    = 256 << 10
)

// signatures fetches what is attached to a digest under the tag that cosign
// uses: sha256-HEX.sig.
func (r *registry) signatures(ctx context.Context, digest string) ([]signature, error) {
	doc, err := r.manifest(ctx, strings.Replace(digest, ":", "-", 1)+".sig")
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(doc.Layers) > maxSignatures {
		return nil, fmt.Errorf("%w: %d signatures", ErrRefused, len(doc.Layers))
	}
	var out []signature
	for _, d := range doc.Layers {
		sig, err := base64.StdEncoding.DecodeString(d.Annotations[cosignAnnotation])
		if err != nil || len(sig) == 0 || d.Size > maxPayload {
			continue // not a signature; the others may be
		}
		payload, err := readSmall(ctx, r, d)
		if err != nil {
			return nil, err
		}
		out = append(out, signature{payload: payload, sig: sig})
	}
	return out, nil
}

// bundleType is how cosign 3 attaches signatures, as referrers of the image. They say of
// which digest they are and not of which name, so that no signedIdentity can be kept.
const bundleType = "application/vnd.dev.sigstore.bundle"

// bundled tells whether a digest has such signatures, for who looks for the others.
func (r *registry) bundled(ctx context.Context, digest string) bool {
	list, err := r.document(ctx, "referrers/"+digest, "")
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		list, err = r.manifest(ctx, strings.Replace(digest, ":", "-", 1)) // of registries that know no referrers
	}
	return err == nil && slices.ContainsFunc(list.Manifests, func(d descriptor) bool { return strings.HasPrefix(d.ArtifactType, bundleType) })
}
