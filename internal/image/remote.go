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
	tagOrDigest := ref.Tag
	if ref.Digest != "" {
		tagOrDigest = ref.Digest
	}
	ref.Platform = reference.Foreign(platform)
	if fetched := c.fetched(ref); len(fetched) > 0 {
		if image := fetched[r.digest(ctx, tagOrDigest)]; image != "" {
			return image, nil
		}
	}
	doc, err := r.manifest(ctx, tagOrDigest)
	if err != nil {
		return "", err
	}
	doc, err = choose(ctx, doc, platform, func(d descriptor) (*document, error) { return r.manifest(ctx, d.Digest) })
	if err != nil {
		return "", err
	}
	return doc.digest, nil
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
