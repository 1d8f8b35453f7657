// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVerify(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	ref := w.push("a", "1", b)
	img, err := w.client.Pull(ctx, ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	top := img.Lowers[0]
	conf := filepath.Join(top, "etc/conf")
	blob := func(digest string) string { return filepath.Join(w.client.Store.Dir(), "blobs", hexOf(digest)) }
	then := time.Unix(1700000000, 0)
	for _, tc := range []struct {
		name   string
		damage func() error
		want   string
	}{
		{"nothing", func() error { return nil }, ""},
		{"content, with the same size and time", func() error {
			return errors.Join(os.WriteFile(conf, []byte("NEW"), 0o644), os.Chtimes(conf, then, then))
		}, "other content"},
		{"a mode", func() error { return os.Chmod(conf, 0o666) }, "mode"},
		{"an owner", func() error { return os.Chown(conf, 1, 1) }, "owner"},
		{"a missing file", func() error { return errors.Join(os.Remove(conf), os.Chtimes(filepath.Dir(conf), then, then)) }, "missing"},
		{"a file too many", func() error {
			return errors.Join(os.WriteFile(filepath.Join(top, "etc/more"), nil, 0o644), os.Chtimes(filepath.Dir(conf), then, then))
		}, "does not belong"},
		{"a missing layer", func() error { return os.RemoveAll(filepath.Dir(top)) }, "missing"},
		{"a layer's description", func() error { return os.WriteFile(filepath.Join(filepath.Dir(top), "layer.json"), []byte("{"), 0o600) }, "description"},
		{"a blob", func() error { return os.WriteFile(blob(b.layers0()), []byte("rot"), 0o600) }, "blob of layer 1"},
		{"a pruned blob and its layer", func() error {
			return errors.Join(os.RemoveAll(filepath.Dir(img.Lowers[1])), os.RemoveAll(blob(b.layers0())))
		}, "not in the store"},
		{"the manifest", func() error { return os.WriteFile(blob(b.digest()), []byte("{}"), 0o600) }, "manifest"},
		{"the configuration", func() error { return os.Remove(blob(digestOf(b.config))) }, "configuration"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.damage(); err != nil {
				t.Fatal(err)
			}
			faults, err := w.client.Verify(ctx, false)
			if err != nil {
				t.Fatal(err)
			}
			if (tc.want == "") != (len(faults) == 0) || tc.want != "" && !strings.Contains(faults[0].What, tc.want) {
				t.Errorf("found %+v", faults)
			}
			repaired, err := w.client.Verify(ctx, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range repaired {
				if !f.Repaired {
					t.Errorf("not repaired: %+v", f)
				}
			}
			if again, err := w.client.Verify(ctx, false); err != nil || len(again) > 0 {
				t.Errorf("after the repair: %+v, %v", again, err)
			}
			if img, err := w.client.Store.Resolve(ref); err != nil || read(t, img, "etc/conf") != "new" {
				t.Errorf("the image: %v", err)
			}
			if left := leftovers(t, w.client.Store, "staging", "trash", "leases"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func (b *built) layers0() string { return digestOf(b.layers[0]) }
