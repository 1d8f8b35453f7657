// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	sweptImage = "localhost/swept:1"
	// seededSize is that of each file in the directory.
	seededSize = 3000
)

// loadBusybox brings in an image of one program, and of a directory with some files.
func loadBusybox(t *testing.T, name string, files int, command ...string) {
	t.Helper()
	if out, err := exec.Command("unitc", "load", "--quiet", busyboxArchive(t, name, files, command...)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// busyboxArchive is the image before it is loaded.
func busyboxArchive(t *testing.T, image string, files int, command ...string) string {
	t.Helper()
	program, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range []struct {
		tar.Header
		data []byte
	}{
		{tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}, program},
		{tar.Header{Name: "bin/sh", Linkname: "busybox", Typeflag: tar.TypeSymlink}, nil},
	} {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files {
		data := bytes.Repeat([]byte{byte('a' + i%26)}, seededSize)
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("data/%d", i), Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture = "linux", runtime.GOARCH
	conf.Config.Cmd = command
	if img, err = mutate.ConfigFile(img, conf); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	return archive
}

// What containers with an image and on a bridge leave does not grow with the boots,
// after a shutdown nor, where another test has the power cut, after that: each starts
// with nothing of before, and what is left of one that starts no more goes with the
// next that ends.
func TestBootSweepsUp(t *testing.T) {
	always := []string{"swept-a", "swept-b"}
	const once, other = "swept-once", "swept-other"
	// The payload notes each of its starts where it may write.
	const text = "image: " + sweptImage + "\nports: ['127.0.0.1::80']\nstop_grace_period: 1s\ncommand: [/bin/sh, -c, 'echo start >> /starts; exec busybox sleep infinity']\n"
	list := func(dir string) []string {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if n := strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".json"), ".service"); n[0] != '.' {
				names = append(names, n)
			}
		}
		return names
	}
	after := func(t *testing.T) {
		for _, name := range always {
			await(t, name+" runs", func() bool { return show(t, name, "ActiveState") == "active" })
			path := "/var/lib/unitc/containers/" + name + ".service/upper/starts"
			await(t, name+" has begun", func() bool { b, err := os.ReadFile(path); return err == nil && len(b) > 0 })
			if b, err := os.ReadFile(path); err != nil || string(b) != "start\n" {
				t.Errorf("%s begins with what was left: %q, %v", name, b, err)
			}
		}
		t.Logf("before anything ends there are %q, and %q in the trash", list("/var/lib/unitc/containers"), list("/var/lib/unitc/trash"))
		run(t, "systemctl", "start", other)
		run(t, "systemctl", "stop", other)
		await(t, "all is swept up", func() bool {
			for _, dir := range []string{"/var/lib/unitc/containers", "/run/unitc/.images"} {
				if left := slices.DeleteFunc(list(dir), func(n string) bool { return !strings.HasPrefix(n, "swept-") || slices.Contains(always, n) }); len(left) > 0 {
					return false
				}
			}
			_, err := os.Stat("/run/unitc/.networks/unitc0/" + other + ".json")
			return os.IsNotExist(err) && len(list("/var/lib/unitc/trash")) == 0
		})
		if state := show(t, "unitc-sweep", "Result"); state != "success" {
			t.Errorf("the sweep's result is %s", state)
		}
	}
	end := func(t *testing.T) {
		forget(t, always...)
		forget(t, once, other)
		await(t, "nothing of them is left", func() bool {
			return len(slices.DeleteFunc(list("/var/lib/unitc/containers"), func(n string) bool { return !strings.HasPrefix(n, "swept-") })) == 0
		})
		_ = exec.Command("unitc", "rmi", "--force", sweptImage).Run()
	}
	boots := []func(t *testing.T){func(t *testing.T) {
		loadBusybox(t, sweptImage, 0)
		for _, name := range always {
			write(t, "/etc/unitc/"+name+".yaml", text+"restart: always\n")
		}
		write(t, "/etc/unitc/"+once+".yaml", text)
		write(t, "/etc/unitc/"+other+".yaml", text)
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", append([]string{"start", once}, always...)...)
	}}
	boot := os.Getenv("UNITC_LAB_BOOT")
	how, _ := os.ReadFile("/run/unitc-lab/reboot")
	if cut := string(how) == "reset"; boot == "2" && !cut {
		boots = append(boots, func(t *testing.T) { after(t); end(t) })
	} else {
		boots = append(boots, func(t *testing.T) { after(t); run(t, "systemctl", "start", once) }, func(t *testing.T) { after(t); end(t) })
	}
	phases(t, boots...)
}
