// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// Client brings images in and out. The zero value of each path means the usual
// places.
type Client struct {
	Store          *store.Store
	Limits         Limits
	AuthFile       string
	RegistriesFile string
	PolicyFile     string
	Progress       func(Event)
	// Now is for tests.
	Now func() time.Time
}

// NewClient has the default limits.
func NewClient(s *store.Store) *Client {
	return &Client{Store: s, Limits: DefaultLimits(), Now: time.Now}
}

// Pull policies of Compose; daily, weekly and every_… are ages.
const (
	PullMissing = "missing"
	PullAlways  = "always"
	PullNever   = "never"
)

// PullOptions say what is wanted.
type PullOptions struct {
	Policy   string // "" = missing for a name that is there, see Due
	Platform string // "linux/arm64/v8"; "" = this machine
	// Later leaves a name that means an image already as it is, and notes the one
	// that is fetched as its next.
	Later bool
}

// Due tells whether a policy asks the registry about a name that was last
// asked for at the given time. One far in the future tells nothing: the clock was
// ahead then, or is behind now.
func Due(policy string, last, now time.Time) (bool, error) {
	switch policy {
	case "", PullMissing, "if_not_present", PullNever:
		return false, nil
	case PullAlways:
		return true, nil
	}
	age, err := policyAge(policy)
	return err == nil && now.Sub(last).Abs() >= age, err
}

func policyAge(policy string) (time.Duration, error) {
	switch policy {
	case "daily":
		return 24 * time.Hour, nil
	case "weekly":
		return 7 * 24 * time.Hour, nil
	}
	every, ok := strings.CutPrefix(policy, "every_")
	if !ok {
		return 0, fmt.Errorf("pull_policy %q: write missing, always, never, daily, weekly or every_12h", policy)
	}
	var total time.Duration
	for every != "" { // time.ParseDuration knows neither weeks nor days
		i := strings.IndexAny(every, "wdhms")
		if i < 1 {
			return 0, fmt.Errorf("pull_policy %q: a time is written like 1w2d12h30m", policy)
		}
		unit := map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}[every[i]]
		var n int
		if _, err := fmt.Sscanf(every[:i], "%d", &n); err != nil || n < 0 || n > 1_000_000 {
			return 0, fmt.Errorf("pull_policy %q: a time is written like 1w2d12h30m", policy)
		}
		total += time.Duration(n) * unit
		every = every[i+1:]
	}
	if total == 0 {
		return 0, fmt.Errorf("pull_policy %q: no time in it", policy)
	}
	return total, nil
}

// Pull makes an image present, as far as its policy asks. Any number of
// processes may pull one name at once: one fetches, the others wait and find.
func (c *Client) Pull(ctx context.Context, name string, o PullOptions) (store.Image, error) {
	ref, err := reference.Parse(name)
	if err != nil {
		return store.Image{}, fmt.Errorf("pulling: %w", err)
	}
	ref.Platform = reference.Foreign(o.Platform)
	if img, ok, err := c.present(ref, o); ok || err != nil {
		return img, err
	}
	lock, err := c.Store.Acquire(ctx, "pull-"+hexOf(digestOf([]byte(ref.File()))), func() {
		newReporter(c.Progress, ref.String()).send(Event{Kind: EventWait, Text: "another process is pulling " + ref.String()})
	})
	if err != nil {
		return store.Image{}, err
	}
	defer lock.Unlock()
	if img, ok, err := c.present(ref, o); ok || err != nil {
		return img, err
	}
	img, err := c.fetch(ctx, ref, o)
	if err != nil {
		return img, fmt.Errorf("pulling %s: %w", ref, err)
	}
	return img, nil
}

// present gives the image if the policy is content with the one that is here.
func (c *Client) present(ref reference.Reference, o PullOptions) (store.Image, bool, error) {
	n, err := c.Store.LookupName(ref)
	if errors.Is(err, store.ErrNotFound) {
		if o.Policy == PullNever {
			return store.Image{}, false, fmt.Errorf("%w (pull_policy: never)", err)
		}
		return store.Image{}, false, nil
	}
	if err != nil {
		return store.Image{}, false, err
	}
	due, err := Due(o.Policy, n.Time, c.Now())
	if err != nil || due {
		return store.Image{}, false, err
	}
	img, err := c.Store.Resolve(n.Image)
	if err != nil {
		return store.Image{}, false, nil // a name without its image is as none
	}
	want, err := parsePlatform(o.Platform)
	if err != nil {
		return store.Image{}, false, err
	}
	if o.Platform != "" && n.Platform != ref.Platform && !(platform{OS: img.OS, Architecture: img.Architecture, Variant: img.Variant}).fits(want) {
		return store.Image{}, false, nil
	}
	return img, true, nil
}

// fetch asks the registry, its mirrors first.
func (c *Client) fetch(ctx context.Context, asked reference.Reference, o PullOptions) (store.Image, error) {
	conf, err := LoadRegistries(c.RegistriesFile)
	if err != nil {
		return store.Image{}, err
	}
	ref, err := conf.expand(asked)
	if err != nil {
		return store.Image{}, err
	}
	policy, err := LoadPolicy(c.PolicyFile)
	if err != nil {
		return store.Image{}, err
	}
	endpoints, err := conf.endpoints(ref)
	if err != nil {
		return store.Image{}, err
	}
	report := newReporter(c.Progress, ref.String())
	for _, words := range conf.unheeded {
		report.send(Event{Kind: EventWarning, Text: words})
	}
	var faults []error
	for _, e := range endpoints {
		report.send(Event{Kind: EventResolve, Text: "asking " + e.host + " for " + ref.String()})
		img, err := c.fetchFrom(ctx, e, asked, ref, policy, report, o)
		if err == nil {
			return img, nil
		}
		faults = append(faults, err)
		// A refusal is about the content, which a mirror does not change; a
		// forbidden image must not be asked for elsewhere.
		if ctx.Err() != nil || errors.Is(err, ErrPolicy) || errors.Is(err, ErrSpace) {
			break
		}
		if len(endpoints) > 1 {
			report.send(Event{Kind: EventWarning, Text: err.Error()})
		}
	}
	return store.Image{}, errors.Join(faults...)
}

func (c *Client) fetchFrom(ctx context.Context, e endpoint, asked, ref reference.Reference, policy *Policy, report *reporter, o PullOptions) (store.Image, error) {
	var r *registry
	err := retry(ctx, report, func() (err error) {
		r, err = connect(ctx, e, c.AuthFile)
		return err
	})
	if err != nil {
		return store.Image{}, err
	}
	r.report = report
	// A registry that counts pulls counts manifests: those that are here are not asked for.
	top, doc := c.unchanged(ctx, r, ref)
	if doc == nil {
		if top, err = r.manifest(ctx, tagOrDigest(ref)); err != nil {
			return store.Image{}, err
		}
		if doc, err = choose(ctx, top, o.Platform, func(d descriptor) (*document, error) { return r.manifest(ctx, d.Digest) }); err != nil {
			return store.Image{}, err
		}
	}
	target := top.digest
	digests := []string{target}
	if doc.digest != target {
		digests = append(digests, doc.digest)
	}
	err = policy.check(ctx, candidate{transport: "docker", ref: ref, digests: digests, signatures: r.signatures, bundled: r.bundled})
	if err != nil {
		return store.Image{}, err
	}
	names := []store.Name{store.NewName(ref, target, c.Now())}
	if ref.Name() != asked.Name() {
		names = append(names, store.NewAlias(asked, ref, target, c.Now()))
	}
	if o.Later {
		for i := range names {
			names[i] = names[i].Later()
		}
	}
	a := &assembler{store: c.Store, source: r, report: report, limits: c.Limits, index: top}
	if doc.digest == target {
		// No index has chosen it.
		if a.want, err = parsePlatform(o.Platform); err != nil {
			return store.Image{}, err
		}
		a.strict = o.Platform != ""
	}
	return a.run(ctx, doc, names...)
}

// choose goes from an index to the manifest for a platform.
func choose(ctx context.Context, doc *document, want string, get func(descriptor) (*document, error)) (*document, error) {
	p, err := parsePlatform(want)
	if err != nil {
		return nil, err
	}
	for depth := 0; doc.isIndex(); depth++ {
		if depth == maxIndexDepth {
			return nil, fmt.Errorf("%w: indexes nested more than %d deep", ErrRefused, maxIndexDepth)
		}
		d, err := doc.pick(p)
		if err != nil {
			return nil, err
		}
		if d.Size > maxManifest {
			return nil, fmt.Errorf("%w: a manifest of %d bytes; %d are allowed", ErrRefused, d.Size, maxManifest)
		}
		if doc, err = get(d); err != nil {
			return nil, err
		}
	}
	return doc, nil
}
