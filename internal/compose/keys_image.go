// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// imageKeys say where the root file system comes from.
var imageKeys = []field{
	{name: "bundle", shape: &shape{kinds: text, format: &absoluteFormat}, example: "/srv/web/bundle",
		doc:    "A directory with a config.json of the OCI runtime specification, which says what runs and what confines it; other keys than those of the unit and its limits are refused beside it.",
		decode: decodeBundle},
	{name: "container_name", shape: &shape{kinds: text, format: &containerNameFormat}, example: "web",
		doc:    "A further name by which neighbours know the service; the unit is named by the file.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.ContainerName = n.text }},
	{name: "image", shape: &shape{kinds: text, format: &imageFormat}, example: "docker.io/library/nginx:1.27",
		doc:    "The image that the root file system comes from.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Image = n.text }},
	{name: "platform", shape: &shape{kinds: text, format: &platformFormat}, example: "linux/amd64",
		doc:    "The platform of the image.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Platform = n.text }},
	{name: "pull_policy", shape: &shape{kinds: text, format: &pullPolicyFormat}, example: "missing",
		doc:    "When the image is fetched: always, never, missing (the default), daily, weekly or every_TIME; with build, unitc up builds it anew each time.",
		decode: decodePullPolicy},
	{name: "pull_refresh_after", shape: &durationShape, example: "24h",
		doc:    "When a present image is looked up again.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.PullRefreshAfter, _ = parseDuration(n.text) }},
	{name: "x-persist", shape: &boolShape, example: "true",
		doc:    "Keep what the container writes to its root file system, as a volume of the unit's own.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Persist = n.truth() }},
	{name: "x-update", shape: &shape{kinds: text, words: []string{definition.UpdateRegistry, definition.UpdateLocal, definition.UpdateFetch, definition.UpdateCheck}}, example: "registry",
		doc:    "Have unitc update look for a newer image every day, in the registry or among the local ones, and go back if it does not start; fetch and check only bring it here, or tell of it.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Update = n.text }},
}

var containerNameFormat = format{name: "container-name", empty: true, pattern: plainNameFormat.pattern, check: plainNameFormat.check}

var platformFormat = format{
	name:    "platform",
	empty:   true,
	pattern: `^[a-z0-9_]+(/[a-z0-9_]+(/[a-z0-9_.]+)?)?$`,
	check: func(s string) (string, string) {
		parts := strings.Split(s, "/")
		if len(parts) > 3 || slices.ContainsFunc(parts, func(p string) bool {
			return p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789_.") != ""
		}) {
			return quote(s) + " is no platform", "write for example linux/arm64"
		}
		return "", ""
	},
}

var pullPolicies = []string{"always", "never", "missing", "if_not_present", "build", "refresh", "daily", "weekly"}

var pullPolicyFormat = format{
	name:    "pull-policy",
	empty:   true,
	pattern: `^(always|never|missing|if_not_present|build|refresh|daily|weekly|every_([0-9]+(w|d|h|m|s))+)$`,
	check: func(s string) (string, string) {
		if after, ok := strings.CutPrefix(s, "every_"); ok {
			if every, ok := parseDuration(after); !ok || every <= 0 {
				return quote(after) + " is no length of time", "write for example every_12h"
			}
			return "", ""
		}
		if contains(pullPolicies, s) {
			return "", ""
		}
		cure := "write always, never, missing, daily, weekly or every_12h"
		if near := nearest(s, pullPolicies); near != "" {
			cure = "did you mean " + near + "?"
		}
		return quote(s) + " is no pull policy", cure
	},
}

func decodePullPolicy(_ *reader, s *definition.Service, n *node) {
	if s.PullPolicy = n.text; n.text == "missing" || n.text == "if_not_present" {
		s.PullPolicy = ""
	}
}
