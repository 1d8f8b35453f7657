// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Credentials come from programs, too, by registry or for all of them.
func TestCredentialHelpers(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	helper := func(name, script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	helper("good", fmt.Sprintf(`[ "$1" = get ] && [ "$(cat)" = %q ] && echo '{"ServerURL":"x","Username":%q,"Secret":%q}'`, w.host, user, password))
	helper("empty", "echo credentials not found in native keychain; exit 1")
	helper("broken", "echo the keychain is locked >&2; exit 1")
	helper("odd", "echo no json")
	for name, tc := range map[string]struct{ auth, want string }{
		"by registry":     {`{"credHelpers":{%q:"good"}}`, ""},
		"for all":         {`{"credsStore":"good","auths":{%q:{}}}`, ""},
		"it has none":     {`{"credHelpers":{%q:"empty"}}`, "`unitc login "},
		"it fails":        {`{"credHelpers":{%q:"broken"}}`, "the keychain is locked"},
		"it talks rot":    {`{"credHelpers":{%q:"odd"}}`, "docker-credential-odd"},
		"it is not there": {`{"credHelpers":{%q:"missing"}}`, "docker-credential-missing"},
		"it is a path":    {`{"credHelpers":{%q:"../../bin/sh"}}`, "not a plain name"},
	} {
		w.client.AuthFile = w.write("helper.json", fmt.Sprintf(tc.auth, w.host))
		_, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways})
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, err, tc.want)
		}
	}
}

// A process of its own, because the environment's proxy is read once: it asks
// the proxy for a host that nobody else knows.
func TestPullThroughProxy(t *testing.T) {
	w := newWorld(t)
	w.push("a", "1", simple(t))
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "registry.test" {
			asked.Add(1)
		}
		if r.Method == http.MethodConnect { // it was asked for TLS first
			rw.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.inner.ServeHTTP(rw, r)
	}))
	defer proxy.Close()
	w.write("registries.conf", "[[registry]]\nlocation = \"registry.test\"\ninsecure = true\n")
	w.write("auth.json", "{}")
	dir := t.TempDir() + "/store"
	c := killClient(t, dir)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "UNITC_TEST_PULL=registry.test/a:1", "UNITC_TEST_STORE="+dir, "UNITC_TEST_WORLD="+w.dir, "UNITC_TEST_POLICY="+c.PolicyFile,
		"HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if img, err := c.Store.Resolve("registry.test/a:1"); err != nil || read(t, img, "etc/conf") != "new" || asked.Load() < 4 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
}

// A registry that is busy is asked again, later, and not for ever.
func TestPullRetries(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway} {
		w := newWorld(t)
		ref := w.push("a", "1", simple(t))
		var refused atomic.Int32
		w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			// The first two of each kind.
			if strings.HasSuffix(r.URL.Path, "/v2/") || refused.Add(1)%3 == 0 {
				return false
			}
			rw.Header().Set("Retry-After", "0")
			rw.WriteHeader(status)
			return true
		})
		if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if !w.sawEvent(EventRetry) {
			t.Errorf("%d: no retry was told of", status)
		}
	}
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a registry that is never there: %v", err)
	}
	if n := w.requests("manifests/") + w.requests("/v2/"); n > 2*maxTries+2 {
		t.Errorf("it was asked %d times", n)
	}
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.WriteHeader(http.StatusNotFound)
		return true
	})
	before := w.requests("manifests/")
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err == nil || w.requests("manifests/") > before+1 {
		t.Errorf("what is not there was asked for %d times: %v", w.requests("manifests/")-before, err)
	}
}

// The session's directory of another user counts for nothing: they would choose what
// root pulls with.
func TestCredentialsOfAnotherSession(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"REGISTRY_AUTH_FILE", "CREDENTIALS_DIRECTORY", "XDG_CONFIG_HOME", "DOCKER_CONFIG"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if err := os.Mkdir(filepath.Join(dir, "containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "containers/auth.json"), []byte(`{"auths":{"registry.test":{"username":"a","password":"b"}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]bool{os.Geteuid(): true, os.Geteuid() + 1: false} {
		if err := os.Chown(dir, uid, -1); err != nil {
			t.Fatal(err)
		}
		got, _, err := credentials(ctx, "", "registry.test", "x")
		if err != nil || (got != authn.Anonymous) != want {
			t.Errorf("of a session of user %d: %v, %v", uid, got, err)
		}
	}
}
