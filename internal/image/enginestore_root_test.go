// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// podmanStore lays an image out as podman has it on the disk. Layers are called
// by numbers, as they may be called anything.
func podmanStore(t *testing.T, b *built, tars [][]byte, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(path string, data []byte) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := hexOf(digestOf(b.config))
	var layers []engineLayer
	parent := ""
	for i, data := range tars {
		l := engineLayer{ID: fmt.Sprintf("%064d", i), Parent: parent, DiffID: digestOf(data), Size: int64(len(data))}
		layers, parent = append(layers, l), l.ID
		put("overlay-layers/"+l.ID+".tar-split.gz", gz(t, skeletonOf(t, data, filepath.Join(dir, "overlay", l.ID, "diff"))))
	}
	put("overlay-layers/layers.json", marshal(t, layers))
	put("overlay-images/images.json", marshal(t, []engineImage{{ID: strings.Repeat("f", 64), Layer: "none"}, {ID: id, Names: names, Layer: parent}}))
	put("overlay-images/"+id+"/="+base64.StdEncoding.EncodeToString([]byte("sha256:"+id)), b.config)
	return dir
}

// skeletonOf unpacks the files of a tar to a directory and gives the rest.
func skeletonOf(t *testing.T, data []byte, diff string) []byte {
	t.Helper()
	var out bytes.Buffer
	src := bytes.NewReader(data)
	r, done := tar.NewReader(src), 0
	if err := os.MkdirAll(diff, 0o755); err != nil {
		t.Fatal(err)
	}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		at := len(data) - src.Len()
		fmt.Fprintf(&out, `{"type":2,"payload":%q,"position":0}`+"\n", base64.StdEncoding.EncodeToString(data[done:at]))
		done = at + int(h.Size)
		fmt.Fprintf(&out, `{"type":1,"name_raw":%q,"size":%d,"payload":"","position":1}`+"\n", base64.StdEncoding.EncodeToString([]byte(h.Name)), h.Size)
		path := filepath.Join(diff, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		default:
			err = os.WriteFile(path, data[at:done], 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintf(&out, `{"type":2,"payload":%q,"position":0}`+"\n", base64.StdEncoding.EncodeToString(data[done:]))
	return out.Bytes()
}

func podmanTars(t *testing.T) [][]byte {
	return [][]byte{
		tarOf(t, file{name: "a/"}, file{name: "a/\xff\n", content: "odd"}, file{name: "usr/"}, file{name: "usr/lib/"}, file{name: "lib", link: "usr/lib"}, file{name: "lib/so", content: "through the link"}),
		tarOf(t, file{name: "b", content: "2"}, file{name: "empty"}),
	}
}

func TestLoadFromPodman(t *testing.T) {
	tars := podmanTars(t)
	b := build(t, gz, tars...)
	dir := podmanStore(t, b, tars, "localhost/app:1", "quay.io/x/app:2")
	id := hexOf(digestOf(b.config))
	for from, want := range map[string]string{
		"localhost/app:1": "[localhost/app:1]", "app:1": "[localhost/app:1]", "quay.io/x/app:2": "[quay.io/x/app:2]",
		"": "[localhost/app:1 quay.io/x/app:2]", id[:12]: "[localhost/app:1 quay.io/x/app:2]",
	} {
		c := newClient(t)
		got, err := c.Load(ctx, "containers-storage:[overlay@"+dir+"+/run/x]"+from, LoadOptions{})
		if err != nil {
			t.Errorf("%q: %v", from, err)
			continue
		}
		img := got[0].Image
		if len(got) != 1 || fmt.Sprint(got[0].Names) != want || img.ID != digestOf(b.config) || read(t, img, "a/\xff\n") != "odd" || read(t, img, "usr/lib/so") != "through the link" || read(t, img, "b") != "2" {
			t.Errorf("%q: loaded %+v", from, got)
		}
		if faults, err := c.Verify(ctx, false); err != nil || len(faults) > 0 {
			t.Errorf("%q: %v, %v", from, faults, err)
		}
	}
	for from, want := range map[string]string{
		"nginx": "there are localhost/app:1, quay.io/x/app:2", strings.Repeat("f", 64): "no such file",
	} {
		if _, err := newClient(t).Load(ctx, "containers-storage:["+dir+"]"+from, LoadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", from, err)
		}
	}
	for _, from := range []string{"containers-storage:[vfs@" + dir + "]app", "containers-storage:[relative]app", "containers-storage:[" + t.TempDir() + "]app"} {
		if _, err := newClient(t).Load(ctx, from, LoadOptions{}); err == nil {
			t.Errorf("%s: accepted", from)
		}
	}
	c := newClient(t)
	if err := os.WriteFile(c.PolicyFile, []byte(`{"default":[{"type":"insecureAcceptAnything"}],"transports":{"containers-storage":{"":[{"type":"reject"}]}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(ctx, "containers-storage:["+dir+"]app:1", LoadOptions{}); !errors.Is(err, ErrPolicy) {
		t.Errorf("a policy that rejects: %v", err)
	}
}

// A user may have made the storage that root reads.
func TestLoadFromPodmanRefuses(t *testing.T) {
	tars := podmanTars(t)
	b := build(t, gz, tars...)
	top := "overlay/" + fmt.Sprintf("%064d", 1)
	skeleton := "overlay-layers/" + fmt.Sprintf("%064d", 1) + ".tar-split.gz"
	for name, tc := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"another content":    {func(dir string) error { return os.WriteFile(dir+"/"+top+"/diff/b", []byte("3"), 0o600) }, "digest"},
		"a shorter file":     {func(dir string) error { return os.Truncate(dir+"/"+top+"/diff/b", 0) }, "shorter"},
		"a link to the host": {func(dir string) error { return relink("/etc/hostname", dir+"/"+top+"/diff/b") }, "opening"},
		"a pipe":             {func(dir string) error { return relink("", dir+"/"+top+"/diff/b") }, "regular"},
		"a missing file":     {func(dir string) error { return os.Remove(dir + "/" + top + "/diff/b") }, "opening"},
		"no skeleton":        {func(dir string) error { return os.Remove(dir + "/" + skeleton) }, "no description"},
		"an odd skeleton": {func(dir string) error {
			return os.WriteFile(dir+"/"+skeleton, gz(t, []byte(`{"type":7}`)), 0o600)
		}, "type 7"},
		"a broken skeleton": {func(dir string) error { return os.WriteFile(dir+"/"+skeleton, gz(t, []byte("{")), 0o600) }, "description"},
		"no gzip":           {func(dir string) error { return os.WriteFile(dir+"/"+skeleton, []byte("{"), 0o600) }, "EOF"},
		"a directory linked": {func(dir string) error {
			if err := os.RemoveAll(dir + "/" + top + "/diff"); err != nil {
				return err
			}
			return os.Symlink("/etc", dir+"/"+top+"/diff")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := podmanStore(t, b, tars, "localhost/app:1")
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			c := newClient(t)
			_, err := c.Load(ctx, "containers-storage:["+dir+"]app:1", LoadOptions{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "podman save localhost/app:1") {
				t.Errorf("error %v; want %q in it", err, tc.want)
			}
			if left := leftovers(t, c.Store, "images", "names"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// relink puts a link, or for no target a FIFO, in a file's place.
func relink(target, path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	if target == "" {
		return unix.Mkfifo(path, 0o600)
	}
	return os.Symlink(target, path)
}
