// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// buildKeys say how the image is made.
var buildKeys = []field{
	{name: "build", shape: &buildShape, example: ".",
		doc:    "How unitc build and unitc up make the image, by podman, buildah or docker, as the directory of its sources or as a mapping. A start builds nothing.",
		decode: decodeBuild},
}

var (
	argumentsShape = shape{kinds: list | mapping, item: &shape{kinds: text, format: &pairFormat}, open: &valueShape, name: &envNameFormat, merge: mergePairs}
	// What builders read is theirs to check.
	textsShape = shape{kinds: text | list, item: &stringShape, merge: mergeAppend}
	sshShape   = shape{kinds: text | list | mapping, item: &stringShape, open: &valueShape, merge: mergeAppend}
)

var buildShape = shape{kinds: text | mapping, format: &contextFormat, keys: []field{
	{name: "additional_contexts", shape: &shape{kinds: list | mapping, item: &shape{kinds: text, format: &pairFormat}, open: &stringShape, merge: mergePairs}, example: "{docs: ../docs}",
		doc: "Further directories or URLs, by the names that the Dockerfile has for them."},
	{name: "args", shape: &argumentsShape, example: "{VERSION: \"1.2\"}", doc: "Values of the Dockerfile's ARG; those without a value are of the variables beside the definition."},
	{name: "cache_from", shape: &textsShape, example: "[registry.example/web:cache]", doc: "Where the builder finds what it need not build."},
	{name: "cache_to", shape: &textsShape, example: "[registry.example/web:cache]", doc: "Where the builder puts what it has built."},
	{name: "context", shape: &shape{kinds: text, format: &contextFormat}, example: "./web", doc: "The directory of the sources, relative to the definition's, or the URL of a repository."},
	{name: "dockerfile", shape: &shape{kinds: text, format: &hostPathFormat}, example: "Dockerfile.prod", doc: "The Dockerfile, relative to the context."},
	{name: "dockerfile_inline", shape: &stringShape, example: "FROM debian", doc: "The Dockerfile itself."},
	{name: "entitlements", shape: &textsShape, refused: "run the builder by hand, and drop build:"},
	{name: "extra_hosts", shape: &extraHostsShape, example: "{db: 192.0.2.7}", doc: "Further names for /etc/hosts while it is built."},
	{name: "isolation", shape: &stringShape, refused: "remove it; it is for Windows containers"},
	{name: "labels", shape: &shape{kinds: list | mapping, item: &shape{kinds: text, format: &pairFormat}, open: &valueShape, merge: mergePairs}, example: "{org.example: web}", doc: "Labels of the image."},
	{name: "network", shape: &stringShape, example: "host", doc: "The network of what the Dockerfile runs, in the builder's words."},
	{name: "no_cache", shape: &boolShape, example: "true", doc: "Build all anew."},
	{name: "no_cache_filter", shape: &textsShape, refused: "write no_cache: true; builders other than Docker's know no stages there"},
	{name: "platforms", shape: &shape{kinds: list, item: &shape{kinds: text, format: &platformFormat}, merge: mergeReplace}, example: "[linux/arm64]", doc: "The platform to build for; one."},
	{name: "privileged", shape: &boolShape, refused: "run the builder by hand, and drop build:"},
	{name: "provenance", shape: &shape{kinds: scalar}, example: "true", ignored: "unitc keeps no attestations", doc: "Attestations of where the image comes from."},
	{name: "pull", shape: &boolShape, example: "true", doc: "Look for newer images of what it is built on."},
	{name: "sbom", shape: &shape{kinds: scalar}, example: "true", ignored: "unitc keeps no attestations", doc: "Attestations of what the image has."},
	{name: "secrets", shape: &grantsShape, example: "[token]", doc: "Secrets of the project for RUN --mount=type=secret; an id is the target, or the secret's name."},
	{name: "shm_size", shape: &memoryShape, example: "64m", doc: "The size of /dev/shm while it is built."},
	{name: "ssh", shape: &sshShape, example: "[default]", doc: "Agents or keys for RUN --mount=type=ssh."},
	{name: "tags", shape: &shape{kinds: list, item: &shape{kinds: text, format: &imageFormat}, merge: mergeAppend}, example: "[\"registry.example/web:1.2\"]", doc: "Further names of the image."},
	{name: "target", shape: &stringShape, example: "prod", doc: "The stage of the Dockerfile to build."},
	{name: "ulimits", shape: &ulimitsShape, example: "{nofile: 65536}", doc: "Limits of what the Dockerfile runs."},
}}

// contextFormat is a directory or what builders fetch.
var contextFormat = format{name: "context", empty: true, pattern: `^[^~]`}

// isFetched tells whether a context is no directory of the host's.
func isFetched(context string) bool {
	return strings.Contains(context, "://") || strings.HasPrefix(context, "git@") || strings.HasPrefix(context, "github.com/")
}

func decodeBuild(r *reader, s *definition.Service, n *node) {
	b := &definition.Build{}
	s.Build = b
	context := n
	if n.kind == mapping {
		context = n.get("context")
		r.readBuild(b, s, n)
	}
	switch {
	case context == nil, context.str() == "":
		b.Context = r.hostPath(n, ".")
	case isFetched(context.text):
		b.Context = context.text
	default:
		b.Context = r.hostPath(context, context.text)
	}
}

func (r *reader) readBuild(b *definition.Build, s *definition.Service, n *node) {
	b.File, b.Inline, b.Target, b.Network = n.get("dockerfile").str(), n.get("dockerfile_inline").str(), n.get("target").str(), n.get("network").str()
	if b.File != "" && b.Inline != "" {
		r.conflict(n, "dockerfile", "dockerfile_inline", "each is the Dockerfile")
	}
	for key, into := range map[string]*bool{"no_cache": &b.NoCache, "pull": &b.Pull} {
		if v := n.get(key); v != nil {
			*into = v.truth()
		}
	}
	for key, into := range map[string]*[]string{"cache_from": &b.CacheFrom, "cache_to": &b.CacheTo, "platforms": &b.Platforms, "ssh": &b.SSH, "tags": &b.Tags} {
		if v := n.get(key); v != nil {
			*into = texts(v.asList())
		}
	}
	for i, id := range b.SSH { // of a mapping
		b.SSH[i] = strings.TrimSuffix(id, "=")
	}
	if len(b.Platforms) > 1 {
		r.fault(n.get("platforms"), "write one platform: a container runs one image", "%d platforms", len(b.Platforms))
	}
	if v := n.get("args"); v != nil {
		b.Args = r.environment(v)
	}
	if v := n.get("labels"); v != nil {
		b.Labels = r.keyValues(v)
	}
	if v := n.get("shm_size"); v != nil {
		b.ShmSize, _ = ParseBytes(v.text)
	}
	if v := n.get("secrets"); v != nil {
		b.Secrets = r.grants(v, "secrets")
	}
	// They are read as the service's own keys are.
	var own definition.Service
	if v := n.get("extra_hosts"); v != nil {
		decodeExtraHosts(r, &own, v)
	}
	if v := n.get("ulimits"); v != nil {
		decodeUlimits(r, &own, v)
	}
	b.ExtraHosts, b.Ulimits = own.ExtraHosts, own.Ulimits
	if v := n.get("additional_contexts"); v != nil {
		r.readContexts(b, v)
	}
}

func (r *reader) readContexts(b *definition.Build, n *node) {
	for _, kv := range r.keyValues(n) {
		switch {
		case strings.HasPrefix(kv.Value, "service:") || strings.HasPrefix(kv.Value, "target:"):
			r.fault(n, "build that service first, and write docker-image:// and the name of its image", "%s is made by another build", quote(kv.Value)).Rule = diag.RuleUnsupported
			continue
		case !isFetched(kv.Value):
			kv.Value = r.hostPath(n, kv.Value)
		}
		b.Contexts = append(b.Contexts, kv)
	}
}
