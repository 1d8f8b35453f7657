// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// imageAttacks are about what a registry sends, to `unitc pull`.
var imageAttacks = []attack{
	{"layer-through-links", "2021-29136, 2026-17106, 2026-50163, 2021-32760, 2021-41089, whiteouts",
		"names, links, hard links and whiteouts of a layer lead to the host", "layer-inside", nil, "",
		func(t *testing.T, c *target) bool {
			for _, entries := range []func(d string) []*tar.Header{
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), plain("a/made")} },
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), link("b", "a"), plain("b/made")} },
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), plain("a/.wh.secret")} },
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), plain("a/.wh..wh..opq")} },
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), directory("a/made")} },
				func(d string) []*tar.Header { return []*tar.Header{link("a", d), hard("h", "a/secret"), plain("h")} },
				func(d string) []*tar.Header { return []*tar.Header{hard("h", d+"/secret"), plain("h")} },
				func(d string) []*tar.Header { return []*tar.Header{link(".", d), plain("made")} },
				func(d string) []*tar.Header { return []*tar.Header{plain(strings.Repeat("../", 20) + d + "/made")} },
				func(d string) []*tar.Header { return []*tar.Header{plain(d + "/.wh..")} },
			} {
				d := decoy(t)
				if _, _ = c.pull(t, pack(t, entries(d)), nil); touched(t, d) {
					return true
				}
			}
			return false
		}},
	{"nodes-in-a-layer", "device nodes in layers", "a layer has the node of a disk", "layer-files", nil, "",
		func(t *testing.T, c *target) bool {
			h := &tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8, Devminor: 0}
			store, err := c.pull(t, pack(t, []*tar.Header{plain("file"), h}), nil)
			must(t, err)
			found := false
			must(t, filepath.WalkDir(store, func(path string, e fs.DirEntry, err error) error {
				found = found || e != nil && e.Name() == "disk" && e.Type()&os.ModeDevice != 0
				return err
			}))
			return found
		}},
	{"attributes-that-steer", "steering attributes in layers", "attributes of a layer's files tell overlayfs to show other files", "layer-files", nil, "",
		func(t *testing.T, c *target) bool {
			h := directory("etc")
			h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/"}
			_, err := c.pull(t, pack(t, []*tar.Header{h}), nil)
			return err == nil
		}},
	{"another-layer", "integrity", "the registry sends another layer than its manifest promises", "verify-digest", nil, "",
		func(t *testing.T, c *target) bool {
			evil := pack(t, []*tar.Header{plain("evil")})
			store, err := c.pull(t, pack(t, []*tar.Header{plain("file")}), func(o *offer) { o.blobs[digest(o.layer)] = evil })
			if err != nil {
				return false
			}
			found, _ := filepath.Glob(store + "/unitc/layers/*/*/evil")
			more, _ := filepath.Glob(store + "/unitc/layers/*/evil")
			return len(found)+len(more) > 0
		}},
	{"endless-manifest", "2023-25153", "a manifest is of a size that would fill the memory", "manifest-limit", nil, "",
		func(t *testing.T, c *target) bool {
			_, err := c.pull(t, pack(t, []*tar.Header{plain("file")}), func(o *offer) { o.manifest = append(o.manifest, bytes.Repeat([]byte{' '}, 8<<20)...) })
			return err == nil
		}},
	{"password-for-another", "2020-15157, 2019-10214", "the registry sends the pull to another host, which waits for the password", "credentials-stay", nil, "",
		func(t *testing.T, c *target) bool {
			var seen atomic.Bool
			_, err := c.pull(t, pack(t, []*tar.Header{plain("file")}), func(o *offer) {
				o.password = true
				storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "" {
						seen.Store(true)
					}
					_, _ = w.Write(o.blobs[strings.TrimPrefix(r.URL.Path, "/")])
				}))
				t.Cleanup(storage.Close)
				// By another name: a port alone is the same host to some.
				o.elsewhere = strings.Replace(storage.URL, "127.0.0.1", "localhost", 1)
			})
			must(t, err)
			return seen.Load()
		}},
}

func plain(name string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
}

func directory(name string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}

func link(name, to string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}
}

func hard(name, to string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to, Mode: 0o644}
}

// pack is a layer; each plain file says where it is from.
func pack(t *testing.T, entries []*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range entries {
		h.Format = tar.FormatPAX
		if h.Typeflag == tar.TypeReg && !strings.Contains(h.Name, ".wh.") {
			h.Size = int64(len("of a layer"))
		}
		must(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := w.Write([]byte("of a layer"))
			must(t, err)
		}
	}
	must(t, errors.Join(w.Close(), z.Close()))
	return b.Bytes()
}

func digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// offer is what a registry has: one image of one layer.
type offer struct {
	manifest, layer []byte
	blobs           map[string][]byte // by digest
	password        bool              // it is asked for
	elsewhere       string            // where blobs are, "" = here
}

func newOffer(t *testing.T, layer []byte) *offer {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(layer))
	must(t, err)
	var plain bytes.Buffer
	_, err = plain.ReadFrom(z)
	must(t, err)
	return offerOf(t, layer, digest(plain.Bytes()))
}

// offerOf is for a layer whose tar has a digest that is known.
func offerOf(t *testing.T, layer []byte, diffID string) *offer {
	t.Helper()
	type object = map[string]any
	config, err := json.Marshal(object{"architecture": runtime.GOARCH, "os": "linux", "config": object{}, "rootfs": object{"type": "layers", "diff_ids": []string{diffID}}})
	must(t, err)
	const kind = "application/vnd.oci.image."
	manifest, err := json.Marshal(object{"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
		"config": object{"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
		"layers": []object{{"mediaType": kind + "layer.v1.tar+gzip", "digest": digest(layer), "size": len(layer)}}})
	must(t, err)
	return &offer{manifest: manifest, layer: layer, blobs: map[string][]byte{digest(config): config, digest(layer): layer}}
}

func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); o.password && user+password != "userpassword" {
		w.Header().Set("WWW-Authenticate", `Basic realm="attack"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, blob, isBlob := strings.Cut(r.URL.Path, "/blobs/")
	switch {
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest(o.manifest))
		_, _ = w.Write(o.manifest)
	case isBlob && o.elsewhere != "":
		http.Redirect(w, r, o.elsewhere+"/"+blob, http.StatusTemporaryRedirect)
	case isBlob:
		_, _ = w.Write(o.blobs[blob])
	}
}

// pull has the built unitc fetch an image into a store of its own, whose directory
// it gives.
func (c *target) pull(t *testing.T, layer []byte, change func(*offer)) (string, error) {
	t.Helper()
	o := newOffer(t, layer)
	if change != nil {
		change(o)
	}
	return c.pullFrom(t, o)
}

func (c *target) pullFrom(t *testing.T, o *offer) (string, error) {
	t.Helper()
	server := httptest.NewServer(o)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/registries.conf", fmt.Appendf(nil, "[[registry]]\nlocation = %q\ninsecure = true\n", host), 0o644))
	must(t, os.WriteFile(dir+"/auth.json", fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("user:password"))), 0o600))
	must(t, os.WriteFile(dir+"/policy.json", []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	args := []string{"pull", "--quiet", "--registries-conf", dir + "/registries.conf", "--signature-policy", dir + "/policy.json"}
	if o.password {
		args = append(args, "--authfile", dir+"/auth.json")
	}
	cmd := exec.Command(self, append([]string{"payload", "!store", dir, build("unitc", c.off)}, append(args, host+"/a:1")...)...)
	cmd.Env = append(os.Environ(), "UNITC_UNSAFE="+c.off)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir + "/lib", nil
}
