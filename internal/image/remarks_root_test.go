// SPDX-License-Identifier: Apache-2.0

package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What a registry wants its users to know is told, once (OCI distribution-spec, Warnings).
func TestPullTellsTheRegistrysWarnings(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Add("Warning", `299 - "this \"tag\" goes next month"`)
		rw.Header().Add("Warning", "299 - \"odd \u009b2J\"")
		rw.Header().Add("Warning", `199 - "of a proxy"`)
		rw.Header().Add("Warning", `299 host "of another"`)
		return false
	})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(w.warnings(), "|")
	if !strings.HasPrefix(got, w.host+` says: this "tag" goes next month`) || strings.Count(got, "next month") != 1 || !strings.Contains(got, "odd") || strings.Contains(got, "\u009b") || strings.Contains(got, "of a") {
		t.Errorf("the warnings are %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "4000": 0, "99999999999": 0, "soon": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Sat, 03 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A registry that wants a certificate is shown the one of certs.d.
func TestPullWithAClientCertificate(t *testing.T) {
	w := newWorld(t)
	w.push("a", "1", simple(t))
	server := httptest.NewUnstartedServer(w.inner)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = w.server.Config.ErrorLog
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	trust(t, w.dir, host, server.Certificate())
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err == nil {
		t.Error("pulled without a certificate")
	}
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "us"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.dir, "certs.d", host, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("client.key", "EC PRIVATE KEY", der)
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "client.key is a key without its certificate") {
		t.Errorf("with a key alone: %v", err)
	}
	write("client.cert", "CERTIFICATE", cert)
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		der, err = x509.MarshalECPrivateKey(other)
	}
	if err != nil {
		t.Fatal(err)
	}
	write("client.key", "EC PRIVATE KEY", der)
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{Policy: PullAlways}); err == nil || !strings.Contains(err.Error(), "client.cert") {
		t.Errorf("with another's key: %v", err)
	}
}

// A token that ends while layers are fetched is followed by another one.
func TestPullWithTokensThatEnd(t *testing.T) {
	w := newWorld(t)
	w.push("a", "1", simple(t))
	var tokens, uses atomic.Int32
	w.handler = func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			if u, p, _ := r.BasicAuth(); u != user || p != password || r.URL.Query().Get("scope") != "repository:a:pull" {
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprintf(rw, `{"token":"t%d","expires_in":60}`, tokens.Add(1))
			return
		}
		// The first is good for two requests, the manifest's and the configuration's.
		token := r.Header.Get("Authorization")
		if !strings.HasPrefix(token, "Bearer t") || token == "Bearer t1" && uses.Add(1) > 2 {
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:a:pull"`, w.server.URL))
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.inner.ServeHTTP(rw, r)
	}
	img, err := w.client.Pull(ctx, w.host+"/a:1", PullOptions{})
	if err != nil || read(t, img, "etc/conf") != "new" || tokens.Load() < 2 || uses.Load() < 3 {
		t.Errorf("with %d tokens: %v", tokens.Load(), err)
	}
}

// A registry that is asked without TLS names no cloud's metadata service as its token
// server: what that answers would be shown to the registry.
func TestTokensAreNotOfTheCloud(t *testing.T) {
	w := newWorld(t)
	plain := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="http://169.254.169.254/latest/meta-data/iam/security-credentials/web",service="test"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	defer plain.Close()
	host := strings.TrimPrefix(plain.URL, "http://")
	w.client.RegistriesFile = w.write("registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host))
	w.client.AuthFile = w.write("auth.json", fmt.Sprintf(`{"auths":{%q:{"username":"a","password":"b"}}}`, host))
	if _, err := w.client.Pull(ctx, host+"/a:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Error(err)
	}
}

// An image for another machine alone: whoever asks for a platform gets it or nothing,
// others are told.
func TestPullOfAnotherMachines(t *testing.T) {
	w := newWorld(t)
	b := simple(t) // says amd64
	ref := w.push("a", "1", b)
	before := w.requests("blobs/")
	if _, err := w.client.Pull(ctx, ref, PullOptions{Platform: "linux/riscv64"}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "the image is for linux/amd64, there is none for linux/riscv64") {
		t.Errorf("asked for: %v", err)
	}
	if n := w.requests("blobs/") - before; n != 1 {
		t.Errorf("%d blobs were fetched for that", n)
	}
	if _, err := w.client.Pull(ctx, ref, PullOptions{Platform: "amd64"}); err != nil || len(w.warnings()) > 0 {
		t.Errorf("its own: %v, %q", err, w.warnings())
	}
	other := simple(t)
	arch := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		arch = "amd64"
	}
	config := []byte(strings.Replace(string(other.config), `"amd64"`, `"`+arch+`"`, 1))
	other.blobs[digestOf(config)] = config
	other.manifest = []byte(strings.ReplaceAll(strings.Replace(string(other.manifest), digestOf(other.config), digestOf(config), 1), fmt.Sprintf(`"size":%d`, len(other.config)), fmt.Sprintf(`"size":%d`, len(config))))
	if _, err := w.client.Pull(ctx, w.push("a", "other", other), PullOptions{}); err != nil || !strings.Contains(strings.Join(w.warnings(), ""), "the image is for linux/"+arch) {
		t.Errorf("another machine's: %v, %q", err, w.warnings())
	}
}

// What registries keep beside images is no image, and is called by its name.
func TestPullOfSomethingElse(t *testing.T) {
	w := newWorld(t)
	config, chart := []byte(`{"name":"shop"}`), []byte("chart")
	d := document{SchemaVersion: 2, MediaType: typeOCIManifest, Config: &descriptor{MediaType: "application/vnd.cncf.helm.config.v1+json", Digest: digestOf(config), Size: int64(len(config))},
		Layers: []descriptor{{MediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", Digest: digestOf(chart), Size: int64(len(chart))}}}
	ref := w.push("chart", "1", &built{manifest: marshal(t, d), blobs: map[string][]byte{digestOf(config): config, digestOf(chart): chart}})
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `no image of a container, but "application/vnd.cncf.helm.config.v1+json"`) {
		t.Errorf("a chart: %v", err)
	}
}

// An empty file of credentials, or a masked one, has none and is in nobody's way.
func TestEmptyCredentials(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"REGISTRY_AUTH_FILE", "CREDENTIALS_DIRECTORY", "XDG_RUNTIME_DIR", "DOCKER_CONFIG"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	path := dir + "/containers/auth.json"
	if err := errors.Join(os.Mkdir(dir+"/containers", 0o700), os.Symlink("/dev/null", path)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, from, err := credentials(ctx, "", "registry.test", "x"); err != nil || from != "" {
			t.Errorf("%q, %v", from, err)
		}
		if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
