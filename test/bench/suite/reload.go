// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The generators, run by hand on equivalent definitions.
var generators = map[string]struct {
	argv []string
	env  string
	dir  string
	ext  string
	text string
}{
	"unitc": {[]string{"/usr/local/lib/systemd/system-generators/unitc-generator"}, "", ours, ".yaml",
		"image: docker.io/library/nginx:1.27\nvolumes: ['/srv/site:/usr/share/nginx/html:ro']\nenvironment: {TZ: UTC}\nread_only: true\nmem_limit: 256m\nrestart: always\n"},
	"quadlet": {[]string{"/usr/libexec/podman/quadlet"}, "PATH=/usr/bin:/bin", quadlets, ".container",
		"[Container]\nImage=docker.io/library/nginx:1.27\nVolume=/srv/site:/usr/share/nginx/html:ro\nEnvironment=TZ=UTC\nReadOnly=true\nPodmanArgs=--memory=256m\n[Service]\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"},
}

// reloads: the generators, and daemon-reload, with n definitions of each kind.
func (b *bench) reloads() error {
	counts := []int{1, 10, 100, 1000, 5000}
	if b.quick {
		counts = []int{1, 100}
	}
	for _, p := range b.peers {
		os.Remove(p.file)
	}
	for _, n := range counts {
		s := samples{}
		var peers []*peer
		for name := range generators {
			if _, err := os.Stat(generators[name].argv[0]); err == nil && b.wantPeer.MatchString(name) {
				peers = append(peers, &peer{name: name})
			}
		}
		full := 20
		if n >= 1000 {
			full = 3
		}
		err := rounds(b.n(full, 5), peers, func(p *peer, count bool) error { return b.generate(p, n, s, count) })
		s.print(peers)
		if err != nil {
			return err
		}
	}
	return b.command("stamp /out/%p-%i")
}

func (b *bench) generate(p *peer, n int, s samples, count bool) error {
	g := generators[p.name]
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%sbench%d%s", g.dir, i, g.ext), []byte(g.text), 0o644); err != nil {
			return err
		}
	}
	defer func() {
		for i := range n {
			os.Remove(fmt.Sprintf("%sbench%d%s", g.dir, i, g.ext))
		}
	}()
	out, err := os.MkdirTemp("/run", "bench-out")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	cmd := exec.Command(g.argv[0], append(g.argv[1:], out, out, out)...)
	cmd.Env = append(os.Environ(), strings.Fields(g.env)...)
	t := now()
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	wall := now() - t
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	settle()
	cpu, t := busy(), now()
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	reload := now() - t
	time.Sleep(time.Millisecond)
	if count {
		s.add(fmt.Sprintf("generator_%d_ms", n), p.name, ms(wall))
		s.add(fmt.Sprintf("generator_%d_cpu_ms", n), p.name, ms(used))
		s.add(fmt.Sprintf("reload_%d_ms", n), p.name, ms(reload))
		s.add(fmt.Sprintf("reload_%d_cpu_ms", n), p.name, ms(busy()-cpu))
	}
	return nil
}
