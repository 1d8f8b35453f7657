// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	registryserver "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// pullerVariable makes the test binary the program whose power is cut.
	pullerVariable = "UNITC_VM_PULLER"
	pullerRounds   = "/run/unitc-lab/puller-rounds"
	cutRegistry    = "127.0.0.1:5123"
)

// serveImages is a registry with images kept:1, cut:1 and cut:2, the same at
// every boot.
func serveImages() error {
	l, err := net.Listen("tcp", cutRegistry)
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(l, registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))) // it ends with the process
	}()
	for seed, tag := range []string{"kept:1", "cut:1", "cut:2"} {
		ref, err := name.ParseReference(cutRegistry+"/"+tag, name.Insecure)
		if err != nil {
			return err
		}
		img, err := manyFiles(uint64(seed))
		if err != nil {
			return err
		}
		if err := remote.Write(ref, img); err != nil {
			return err
		}
	}
	return nil
}

func manyFiles(seed uint64) (v1.Image, error) {
	img := v1.Image(empty.Image)
	random := rand.New(rand.NewPCG(seed, 5))
	for layer := range 4 {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range 60 {
			data := make([]byte, random.IntN(20_000))
			for j := range data {
				data[j] = byte(random.Uint32())
			}
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%d-%d-%d", seed, layer, i), Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
				return nil, err
			}
			if _, err := w.Write(data); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)); err != nil {
			return nil, err
		}
	}
	conf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture = "linux", "amd64"
	return mutate.ConfigFile(img, conf)
}

// pullForever brings images in and removes them until the power goes.
func pullForever() error {
	if err := serveImages(); err != nil {
		return err
	}
	for round := 0; ; round++ {
		for _, args := range [][]string{
			{"pull", "--quiet", "--policy", "missing", cutRegistry + "/kept:1"},
			{"pull", "--quiet", cutRegistry + "/cut:1"}, {"tag", cutRegistry + "/cut:1", "localhost/cut:3"},
			{"pull", "--quiet", cutRegistry + "/cut:2"}, {"rmi", cutRegistry + "/cut:1", "localhost/cut:3"}, {"prune"}, {"rmi", cutRegistry + "/cut:2"},
		} {
			if out, err := exec.Command("unitc", args...).CombinedOutput(); err != nil {
				return fmt.Errorf("round %d: unitc %q: %w: %s", round, args, err, out)
			}
		}
		if err := os.WriteFile(pullerRounds, []byte(strconv.Itoa(round+1)), 0o644); err != nil {
			return err
		}
	}
}

// "a … power cut at any instant leaves a store that works and a garbage
// collector that cleans". Each write of a pull has its power cut in package
// image; here it is a machine's, with a disk behind it.
//
//lab:once
func TestBootPowerCutWhilePulling(t *testing.T) {
	const (
		conf    = "/etc/unitc/registries.conf.d/cut.conf"
		cutConf = "[[registry]]\nlocation = \"" + cutRegistry + "\"\ninsecure = true\n"
	)
	phases(t, func(*testing.T) {
		// The next boot is for itself: the others' end is no power cut.
	}, func(t *testing.T) {
		write(t, conf, cutConf)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		run(t, "systemd-run", "--unit=puller", "-E", pullerVariable+"=1", self)
		await(t, "images have been pulled and removed", func() bool {
			if state := show(t, "puller", "ActiveState"); state != "active" {
				t.Fatalf("the puller is %s:\n%s", state, run(t, "journalctl", "-u", "puller", "-n", "20"))
			}
			n, err := os.ReadFile(pullerRounds)
			return err == nil && len(n) > 0
		})
	}, func(t *testing.T) {
		defer os.RemoveAll("/etc/unitc/registries.conf.d")
		// The cut may have taken the file that nobody synced.
		write(t, conf, cutConf)
		run(t, "unitc", "verify")
		if list := run(t, "unitc", "images"); !strings.Contains(list, cutRegistry+"/kept:1") {
			t.Errorf("an image that was there before is gone:\n%s", list)
		}
		run(t, "unitc", "prune", "--partial")
		for _, dir := range []string{"staging", "trash", "leases"} {
			left, err := os.ReadDir("/var/lib/unitc/" + dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%s holds %v, %v", dir, left, err)
			}
		}
		if err := serveImages(); err != nil {
			t.Fatal(err)
		}
		run(t, "unitc", "pull", "--quiet", cutRegistry+"/cut:1", cutRegistry+"/cut:2")
		run(t, "unitc", "verify")
		run(t, "unitc", "prune", "--all")
	})
	if os.Getenv("UNITC_LAB_BOOT") == "2" && !t.Failed() {
		write(t, "/run/unitc-lab/reboot", "reset")
	}
}
