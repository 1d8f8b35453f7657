// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	registryserver "github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

func TestMain(m *testing.M) {
	// The test binary is also a client that others kill (kill_root_test.go).
	if url := os.Getenv("UNITC_TEST_PULL"); url != "" {
		os.Exit(pullForKill(url))
	}
	if job := os.Getenv("UNITC_TEST_CROWD"); job != "" {
		if err := crowd(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	firstPause = 2 * time.Millisecond
	os.Exit(privately(m))
}

// privately runs the tests in a mount namespace of their own: they mount.
func privately(m *testing.M) int {
	if os.Getenv("UNITC_TEST_PRIVATE") != "" {
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "UNITC_TEST_PRIVATE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "these tests need root: %v\n", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// file is one entry of a layer: a name ending in "/" is a directory.
type file struct {
	name, content string
	link          string
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), ModTime: time.Unix(1700000000, 0)}
		switch {
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// built is an image as bytes.
type built struct {
	manifest, config []byte
	blobs            map[string][]byte // by digest, the layers' and the configuration's
	layers           [][]byte          // compressed
	diffIDs          []string
}

func (b *built) digest() string { return digestOf(b.manifest) }

// build makes an image; pack compresses each tar.
func build(t testing.TB, pack func(testing.TB, []byte) []byte, tars ...[]byte) *built {
	t.Helper()
	b := &built{blobs: map[string][]byte{}}
	var layers []descriptor
	for _, data := range tars {
		blob := data
		if pack != nil {
			blob = pack(t, data)
		}
		b.layers = append(b.layers, blob)
		b.diffIDs = append(b.diffIDs, digestOf(data))
		b.blobs[digestOf(blob)] = blob
		mediaType := typeOCILayer
		switch {
		case bytes.HasPrefix(blob, []byte{0x1f, 0x8b}):
			mediaType += "+gzip"
		case bytes.HasPrefix(blob, []byte{0x28, 0xb5}):
			mediaType += "+zstd"
		}
		layers = append(layers, descriptor{MediaType: mediaType, Digest: digestOf(blob), Size: int64(len(blob))})
	}
	config := map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
		"config": map[string]any{
			"Env": []string{"PATH=/bin", "HOSTSECRET", "*", "=x"}, "Cmd": []string{"/bin/app"}, "WorkingDir": "srv/../app",
			"Volumes": map[string]any{"/data": struct{}{}, "/../../etc": struct{}{}, "/": struct{}{}}, "ExposedPorts": map[string]any{"80/tcp": struct{}{}},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": b.diffIDs},
	}
	b.config = marshal(t, config)
	b.blobs[digestOf(b.config)] = b.config
	b.manifest = marshal(t, document{
		SchemaVersion: 2, MediaType: typeOCIManifest, Layers: layers,
		Config: &descriptor{MediaType: typeOCIConfig, Digest: digestOf(b.config), Size: int64(len(b.config))},
	})
	return b
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// world is a registry with TLS and a password, and a client that knows both.
type world struct {
	t      testing.TB
	server *httptest.Server
	inner  http.Handler
	host   string
	client *Client
	dir    string

	handler http.HandlerFunc // in the place of all of it

	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool // true: answered
	log    []string
	events []Event
}

const user, password = "operator", "s3cret"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, inner: registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0))), dir: t.TempDir()}
	w.server = httptest.NewTLSServer(w)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(w.server.Close)
	w.host = strings.TrimPrefix(w.server.URL, "https://")
	trust(t, w.dir, w.host, w.server.Certificate())
	s, err := store.Open(w.dir + "/store")
	if err != nil {
		t.Fatal(err)
	}
	w.client = NewClient(s)
	w.client.AuthFile = w.write("auth.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.host, base64.StdEncoding.EncodeToString([]byte(user+":"+password))))
	w.client.RegistriesFile = w.write("registries.conf", "")
	w.client.PolicyFile = w.write("policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
	w.client.Limits.Reserve = 0
	w.client.Progress = func(e Event) {
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
	}
	return w
}

// trust makes the client accept a server's certificate, as an administrator
// would.
func trust(t testing.TB, dir, host string, cert *x509.Certificate) {
	t.Helper()
	certs := filepath.Join(dir, "certs.d")
	if err := os.MkdirAll(filepath.Join(certs, host), 0o700); err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(filepath.Join(certs, host, "ca.crt"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	certDirs = []string{certs}
}

func (w *world) write(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.log = append(w.log, r.Method+" "+r.URL.Path)
	before := w.before
	w.mu.Unlock()
	if w.handler != nil {
		w.handler(rw, r)
		return
	}
	if u, p, _ := r.BasicAuth(); u != user || p != password {
		rw.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	if before != nil && before(rw, r) {
		return
	}
	w.inner.ServeHTTP(rw, r)
}

// intercept answers requests before the registry does.
func (w *world) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

// requests counts those whose path contains s.
func (w *world) requests(s string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, l := range w.log {
		if strings.Contains(l, s) {
			n++
		}
	}
	return n
}

func (w *world) sawEvent(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// warnings are those that were told.
func (w *world) warnings() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == EventWarning {
			list = append(list, e.Text)
		}
	}
	return list
}

// push puts an image into the registry.
func (w *world) push(repo, tag string, b *built) string {
	w.t.Helper()
	for digest, data := range b.blobs {
		w.put("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest, "", data)
	}
	w.put("PUT", "/v2/"+repo+"/manifests/"+tag, typeOCIManifest, b.manifest)
	return w.host + "/" + repo + ":" + tag
}

func (w *world) put(method, path, mediaType string, data []byte) {
	w.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(data))
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	rec := httptest.NewRecorder()
	w.inner.ServeHTTP(rec, r)
	if rec.Code >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
}

// read gives a file of an image as the container would see it.
func read(t testing.TB, img store.Image, name string) string {
	t.Helper()
	for _, l := range img.Lowers {
		if data, err := os.ReadFile(filepath.Join(l, name)); err == nil {
			return string(data)
		}
	}
	return "(missing)"
}

// leftovers lists what is in the directories that must be empty at rest.
func leftovers(t testing.TB, s *store.Store, dirs ...string) []string {
	t.Helper()
	var out []string
	for _, d := range dirs {
		entries, err := os.ReadDir(filepath.Join(s.Dir(), d))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, d+"/"+e.Name())
		}
	}
	return out
}

func mustParse(t testing.TB, name string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openDir(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func compareTrees(t testing.TB, want, have *os.File) []string {
	t.Helper()
	found, err := layer.Compare(want, have)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
