// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestPullAuthAndTLS(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	w.client.AuthFile = w.write("none.json", "{}")
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), "unitc login") {
		t.Errorf("without a password: %v", err)
	}
	w.client.AuthFile = w.write("auth.json", fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q},%q:{"username":"x","password":"y"}}}`, w.host+"/a", user, password, w.host))
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Errorf("with the repository's own password: %v", err)
	}
	certDirs = nil
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("with an unknown authority: %v", err)
	}
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", w.host))
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err != nil {
		t.Errorf("declared insecure: %v", err)
	}
}

func TestPullPlainHTTP(t *testing.T) {
	w := newWorld(t)
	w.push("a", "1", simple(t))
	plain := httptest.NewServer(w.inner)
	defer plain.Close()
	host := strings.TrimPrefix(plain.URL, "http://")
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "insecure = true") {
		t.Errorf("undeclared: %v", err)
	}
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host))
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err != nil {
		t.Errorf("declared insecure: %v", err)
	}
}

func TestPullMirrorsAndShortNames(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	w.push("mirror/org/app", "1", b)
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf(`
unqualified-search-registries = ["%[1]s"]
[[registry]]
prefix = "example.test"
location = "127.0.0.1:1"
[[registry.mirror]]
location = "127.0.0.1:2/dead"
[[registry.mirror]]
location = "%[1]s/mirror"
[[registry]]
prefix = "*.blocked.test"
blocked = true
[aliases]
tool = "example.test/org/app"
`, w.host))
	img, err := w.client.Pull(ctx, "example.test/org/app:1", PullOptions{})
	if err != nil || img.Digest != b.digest() {
		t.Fatalf("through a mirror: %v", err)
	}
	if _, err := w.client.Pull(ctx, "tool:1", PullOptions{}); err != nil {
		t.Fatalf("by an alias: %v", err)
	}
	if got, err := w.client.Store.Resolve("tool:1"); err != nil || got.Digest != b.digest() {
		t.Errorf("the alias afterwards: %v", err)
	}
	if _, err := w.client.Pull(ctx, "x.blocked.test/a", PullOptions{}); err == nil || !strings.Contains(err.Error(), "blocked") {
		t.Errorf("blocked: %v", err)
	}
	w.push("other", "1", b)
	if _, err := w.client.Pull(ctx, "other:1", PullOptions{}); err != nil {
		t.Errorf("the search registry: %v", err)
	}
	if n, err := w.client.Store.LookupName(mustParse(t, w.host+"/other:1")); err != nil || n.Image != b.digest() {
		t.Errorf("under its full name: %v", err)
	}
}

// Where an image is looked for, for each way to say so (containers-registries.conf(5)).
func TestEndpoints(t *testing.T) {
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	dir := t.TempDir()
	path := dir + "/registries.conf"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
[[registry]]
prefix = "*.wild.test"
location = "all.test:5000/wild/"
[[registry.mirror]]
location = "near.test/cache/"
insecure = true
[[registry]]
location = "*.open.test"
insecure = true
[[registry]]
prefix = "plain.test/a"
location = "there.test/b"
[[registry.mirror]]
location = "tags.test"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "both.test"
pull-from-mirror = "all"
[[registry]]
location = "pinned.test/"
mirror-by-digest-only = true
[[registry.mirror]]
location = "copy.test"
[[registry]]
location = "pinned.test/none"
blocked = true
`)
	conf, err := LoadRegistries(path)
	if err != nil || len(conf.unheeded) > 0 {
		t.Fatal(conf, err)
	}
	for name, want := range map[string]string{
		"x.wild.test/org/app:1":      "[{near.test cache/org/app true} {all.test:5000 wild/org/app false}]",
		"a.b.wild.test:8080/app:1":   "[{near.test cache/app true} {all.test:5000 wild/app false}]",
		"wild.test/app:1":            "[{wild.test app false}]",
		"x.open.test:5000/app:1":     "[{x.open.test:5000 app true}]",
		"plain.test/a/c:1":           "[{tags.test c false} {both.test c false} {there.test b/c false}]",
		"plain.test/a/c" + digest:    "[{digests.test c false} {both.test c false} {there.test b/c false}]",
		"plain.test/ab:1":            "[{plain.test ab false}]",
		"pinned.test/app:1":          "[{pinned.test app false}]",
		"pinned.test/app" + digest:   "[{copy.test app false} {pinned.test app false}]",
		"pinned.test/none/of/this:1": "blocked",
	} {
		got, err := conf.endpoints(mustParse(t, name))
		if text := fmt.Sprint(got); text != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %s, %v; want %s", name, text, err, want)
		}
	}
	for text, want := range map[string]string{
		"[registries.block]\nregistries = [\"evil.test\"]\n":                                                        "version 1",
		"[[registry]]\nlocation = \"https://x.test\"\n":                                                             "without http",
		"[[registry]]\nlocation = \"x.test\"\n[[registry.mirror]]\nlocation = \"http://y.test\"\n":                  "without http",
		"[[registry]]\nlocation = \"x.test\"\n[[registry.mirror]]\nlocation = \"y\"\npull-from-mirror = \"tags\"\n": "write all, digest-only or tag-only",
		"[[registry]]\nlocation = \"x.test\"\n[[registry.mirror]]\ninsecure = true\n":                               "a mirror without",
		"[[registry]]\nblocked = true\n":                                                                            "neither prefix nor location",
	} {
		write(text)
		if _, err := LoadRegistries(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// What the file says and nothing here does is told at each pull.
func TestUnheededKeysAreTold(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	w.client.RegistriesFile = w.write("registries.conf", "credential-helpers = [\"pass\"]\nshort-name-mode = \"permissive\"\n[[registry]]\nlocation = \"x.test\"\nblockd = true\n")
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := w.warnings(); len(got) != 2 || !strings.Contains(got[0], "credsStore or credHelpers") || !strings.Contains(got[1], "registry.blockd is not known") {
		t.Errorf("the warnings are %q", got)
	}
}

// Whose image a short name means is not guessed where the file forbids it.
func TestShortNamesThatAreNotSure(t *testing.T) {
	w := newWorld(t)
	w.push("app", "1", simple(t))
	conf := "short-name-mode = \"enforcing\"\nunqualified-search-registries = [%q%s]\n[aliases]\nknown = \"" + w.host + "/app\"\n"
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf(conf, w.host, `, "other.test"`))
	if _, err := w.client.Pull(ctx, "app:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "may be of "+w.host+" or other.test") {
		t.Errorf("with two registries: %v", err)
	}
	if _, err := w.client.Pull(ctx, "known:1", PullOptions{}); err != nil {
		t.Errorf("by an alias: %v", err)
	}
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf(conf, w.host, ""))
	if _, err := w.client.Pull(ctx, "app:1", PullOptions{}); err != nil {
		t.Errorf("with one: %v", err)
	}
}
