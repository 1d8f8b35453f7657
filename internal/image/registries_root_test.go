// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"net/http/httptest"
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
