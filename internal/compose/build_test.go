// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

// An image that is built and has no name is called as Compose calls it, and is never
// fetched; one that has a name is found as any other.
func TestBuild(t *testing.T) {
	const text = `services:
  Own: {build: .}
  named: {build: {context: ../web, dockerfile: D, target: prod, args: {A: "1", B: null, C: "${UNSET:?say it}"}, labels: [x=y], tags: [b, c]}, image: web}
  always: {build: {context: "https://example.org/x.git#main", secrets: [s]}, image: always, pull_policy: build}
  inline: {build: {dockerfile_inline: "FROM scratch", shm_size: 64m, extra_hosts: ["a:192.0.2.1"], ulimits: {nofile: 5}, additional_contexts: {docs: ../docs, far: "docker-image://x"}}}
  empty: {build: {context: "", target: x}}
  git: {build: "git@example.org:x.git"}
  hub: {build: github.com/x/y}
secrets: {s: {file: ./token}}
`
	file := parseApp(text, map[string]string{"B": "two"})
	if got := file.Problems.String(); file.Problems.HasErrors() || !strings.Contains(got, "app.yaml:3:92: warning: services.named.build.args.C: the variable UNSET is not set: say it") {
		t.Fatalf("problems: %s", got)
	}
	services := map[string]definition.Service{}
	for _, s := range file.Services {
		services[s.Key] = s
	}
	for key, want := range map[string]struct{ image, policy, context string }{
		"Own":    {"localhost/app-own", "never", "/etc/unitc"},
		"named":  {"web", "", "/etc/web"},
		"always": {"always", "never", "https://example.org/x.git#main"},
		"empty":  {"localhost/app-empty", "never", "/etc/unitc"},
		"git":    {"localhost/app-git", "never", "git@example.org:x.git"},
		"hub":    {"localhost/app-hub", "never", "github.com/x/y"},
		"inline": {"localhost/app-inline", "never", "/etc/unitc"},
	} {
		s := services[key]
		if s.Image != want.image || s.PullPolicy != want.policy || s.Build == nil || s.Build.Context != want.context {
			t.Errorf("%s: %s, %s, %+v", key, s.Image, s.PullPolicy, s.Build)
		}
	}
	b := services["named"].Build
	if b.File != "D" || b.Target != "prod" || len(b.Args) != 3 || *b.Args[1].Value != "two" || *b.Args[2].Value != "" || b.Labels[0].Value != "y" || len(b.Tags) != 2 || b.Always {
		t.Errorf("named: %+v", b)
	}
	if b := services["always"].Build; !b.Always || len(b.Secrets) != 1 || b.Secrets[0].File != "/etc/unitc/token" {
		t.Errorf("always: %+v", b)
	}
	if b := services["inline"].Build; b.Inline != "FROM scratch" || b.ShmSize != 64<<20 || len(b.ExtraHosts) != 1 || len(b.Ulimits) != 1 ||
		b.Contexts[0].Value != "/etc/docs" || b.Contexts[1].Value != "docker-image://x" {
		t.Errorf("inline: %+v", b)
	}
}

func TestFaultsOfBuild(t *testing.T) {
	for text, want := range map[string]string{
		"build: .\nrootfs: host\n":                                  "rootfs: conflicts with build",
		"image: x\npull_policy: build\n":                            "pull_policy is build, and nothing says how; write build:",
		"build: {context: ., dockerfiel: x}\n":                      "did you mean dockerfile?",
		"build: {privileged: true}\n":                               "run the builder by hand",
		"build: {platforms: [linux/amd64, linux/arm64]}\n":          "write one platform",
		"build: {dockerfile: D, dockerfile_inline: FROM scratch}\n": "each is the Dockerfile",
		"build: {additional_contexts: {a: 'service:db'}}\n":         "build that service first, and write docker-image://",
		"build: {additional_contexts: {a: 'target:db'}}\n":          "is made by another build",
	} {
		if got := parseApp(text, nil).Problems; !got.HasErrors() || !strings.Contains(got.String(), want) {
			t.Errorf("%q: %s", text, got)
		}
	}
}
