// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/unitc/unitc/test/bench/bigimage"
)

const bigImage = "localhost/big:1"

// bigImages: starts and stops of containers from the image that test/bench/pull
// fetches, 300 MB in 10,000 files and 6 layers, and one with the payload on top.
func (b *bench) bigImages() error {
	if err := loadBigImage(); err != nil {
		return err
	}
	peers := []*peer{definition("unitc-big", false, "image: "+bigImage+"\n")}
	if _, err := exec.LookPath("podman"); err == nil {
		q := quadlet("quadlet-big", false, "Network=none\n")
		q.unit = strings.Replace(q.unit, "Image="+image, "Image="+bigImage, 1)
		peers = append(peers, q)
	}
	for _, p := range peers {
		if err := p.write("stamp /out/" + p.name + "-%i"); err != nil {
			return err
		}
	}
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	s := samples{}
	err := rounds(b.n(30, 7), peers, func(p *peer, count bool) error {
		got, stopped, cpu, err := b.startAndStop(p)
		if err != nil {
			return err
		}
		if count {
			s.add("image_start_ms", p.name, ms(got.first))
			s.add("image_start_return_ms", p.name, ms(got.returned))
			s.add("image_start_cpu_ms", p.name, ms(got.cpu))
			s.add("image_stop_ms", p.name, ms(stopped))
			s.add("image_stop_cpu_ms", p.name, ms(cpu))
		}
		return nil
	})
	s.print(peers)
	return err
}

// loadBigImage gives the image to all that run it, as `docker save` writes it.
func loadBigImage() error {
	dir, err := os.MkdirTemp(scratch, "big")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files, diffIDs []string
	add := func(data []byte) error {
		files, diffIDs = append(files, fmt.Sprintf("%d.tar", len(files))), append(diffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(data)))
		return os.WriteFile(dir+"/"+files[len(files)-1], data, 0o644)
	}
	for i := range bigimage.Layers {
		data, err := bigimage.Layer(i, 300<<20/bigimage.Layers)
		if err == nil {
			err = add(data)
		}
		if err != nil {
			return err
		}
	}
	top, err := os.ReadFile(scratch + "/rootfs.tar")
	if err != nil {
		return err
	}
	if err := add(top); err != nil {
		return err
	}
	for name, value := range map[string]any{
		"config.json":   map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}},
		"manifest.json": []map[string]any{{"Config": "config.json", "RepoTags": []string{bigImage}, "Layers": files}},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/"+name, text, 0o644); err != nil {
			return err
		}
	}
	script := `set -e
cd ` + dir + `
tar -cf big.tar manifest.json config.json ` + strings.Join(files, " ") + `
rm ` + strings.Join(files, " ") + `
unitc load -q big.tar >&2
if command -v podman >/dev/null; then podman load -q -i big.tar >&2; fi`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("loading the image: %w\n%s", err, out)
	}
	return nil
}
