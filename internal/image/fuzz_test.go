// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"
)

// Whatever a registry sends as a manifest, what is taken of it is bounded and
// has checked digests, because these become file names.
func FuzzManifest(f *testing.F) {
	digest := "sha256:" + strings.Repeat("a", 64)
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"`+typeOCIManifest+`","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest+`","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"`+digest+`","size":1}]}`), typeOCIManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"`+typeOCIManifest+`","digest":"`+digest+`","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`), typeOCIIndex)
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":-1}}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		d, err := parseDocument(raw, mediaType)
		if err != nil {
			return
		}
		all := append(append([]descriptor{}, d.Layers...), d.Manifests...)
		if d.Config != nil {
			all = append(all, *d.Config)
		}
		for _, one := range all {
			if !strings.HasPrefix(one.Digest, "sha256:") || len(one.Digest) != 71 || strings.Trim(one.Digest[7:], "0123456789abcdef") != "" || one.Size < 0 {
				t.Fatalf("%+v was taken", one)
			}
		}
		if want, err := parsePlatform(""); err == nil && d.isIndex() {
			_, _ = d.pick(want) // none may fit
		}
	})
}

// Whatever an image says of itself, what a container inherits acts on nothing
// outside of it.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"os":"linux","config":{"Env":["A=b","PATH"],"Volumes":{"/a/../../b":{}},"WorkingDir":"../x"},"rootfs":{"diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`))
	f.Add([]byte(`{"config":{"User":"a\u0000b","WorkingDir":"/\u0000"},"rootfs":{}}`))
	f.Add([]byte(`{"config":{"Healthcheck":{"Test":["CMD",""],"Interval":-1}},"rootfs":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for layers := range 3 {
			c, err := parseConfig(raw, layers)
			if err != nil {
				continue
			}
			if len(c.chainIDs()) != layers {
				t.Fatalf("%d chain ids of %d layers", len(c.chainIDs()), layers)
			}
			out := c.prepared()
			for _, e := range out.Env {
				if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsRune(e, 0) {
					t.Fatalf("variable %q", e)
				}
			}
			for _, p := range append(out.Volumes, out.WorkingDir) {
				if strings.ContainsRune(p+out.User, 0) || p != "" && (p[0] != '/' || strings.Contains(p+"/", "/../")) {
					t.Fatalf("path %q", p)
				}
			}
		}
	})
}
