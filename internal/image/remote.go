// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/unitc/unitc/internal/reference"
)

// Remote asks the registry, its mirrors first, which image a name means there:
// the digest of the manifest for the platform. Nothing is fetched but manifests, and
// none where the name means there what it meant when it was fetched.
func (c *Client) Remote(ctx context.Context, name, platform string) (string, error) {
	asked, err := reference.Parse(name)
	if err != nil {
		return "", err
	}
	conf, err := LoadRegistries(c.RegistriesFile)
	if err != nil {
		return "", err
	}
	ref, err := conf.expand(asked)
	if err != nil {
		return "", err
	}
	endpoints, err := conf.endpoints(ref)
	if err != nil {
		return "", err
	}
	var faults []error
	for _, e := range endpoints {
		digest, err := c.remoteFrom(ctx, e, ref, platform)
		if err == nil {
			return digest, nil
		}
		faults = append(faults, err)
		if ctx.Err() != nil {
			break
		}
	}
	return "", fmt.Errorf("asking for %s: %w", ref, errors.Join(faults...))
}

func (c *Client) remoteFrom(ctx context.Context, e endpoint, ref reference.Reference, platform string) (string, error) {
	report := newReporter(c.Progress, ref.String())
	var r *registry
	err := retry(ctx, report, func() (err error) {
		r, err = connect(ctx, e, c.AuthFile)
		return err
	})
	if err != nil {
		return "", err
	}
	ref.Platform = reference.Foreign(platform)
	if _, image := c.known(ctx, r, ref); image != "" {
		return image, nil
	}
	doc, err := r.manifest(ctx, tagOrDigest(ref))
	if err != nil {
		return "", err
	}
	doc, err = choose(ctx, doc, platform, func(d descriptor) (*document, error) { return r.manifest(ctx, d.Digest) })
	if err != nil {
		return "", err
	}
	return doc.digest, nil
}

// known asks the registry without the manifest what a name means, and gives that and
// the image that was fetched for it before; "" = there is none, or the registry does not
// say.
func (c *Client) known(ctx context.Context, r *registry, ref reference.Reference) (target, image string) {
	fetched := c.fetched(ref)
	if len(fetched) == 0 {
		return "", ""
	}
	target = r.digest(ctx, tagOrDigest(ref))
	if ref.Digest != "" && target != ref.Digest {
		return "", ""
	}
	return target, fetched[target]
}

// unchanged gives what a name means in the registry, and the manifest for the platform, as
// they are here, where it means what it meant when that was fetched; nil = they have to be
// fetched.
func (c *Client) unchanged(ctx context.Context, r *registry, ref reference.Reference) (top, doc *document) {
	target, image := c.known(ctx, r, ref)
	if image == "" {
		return nil, nil
	}
	if doc = c.kept(image); doc == nil || doc.isIndex() {
		return nil, nil
	}
	if target == image {
		return doc, doc
	}
	if top = c.kept(target); top == nil {
		return nil, nil
	}
	return top, doc
}

// kept is a manifest or an index of the store's, nil if it is not there, or damaged.
func (c *Client) kept(digest string) *document {
	raw, err := c.Store.ReadBlob(hexOf(digest), maxManifest)
	if err != nil || digestOf(raw) != digest {
		return nil
	}
	doc, err := parseDocument(raw, "")
	if err != nil {
		return nil
	}
	return doc
}

func tagOrDigest(ref reference.Reference) string {
	if ref.Digest != "" {
		return ref.Digest
	}
	return ref.Tag
}

// fetched are the images that were fetched for a name and a platform, by the digest that
// the registry had for the name then.
func (c *Client) fetched(ref reference.Reference) map[string]string {
	images := map[string]string{}
	name, err := c.Store.LookupName(ref)
	for n := &name; err == nil && n != nil; n = n.Next {
		if n.Target != "" && n.Platform == ref.Platform {
			images[n.Target] = n.Image
		}
	}
	return images
}
