// SPDX-License-Identifier: Apache-2.0

// Command generator measures unitc-generator beside Quadlet's generator: CPU,
// wall time and peak memory for growing numbers of equivalent definitions. The
// two run in turns, each into a fresh directory, so that the ratio holds on a
// busy machine. Nothing is asserted.
//
//	go run ./test/bench/generator -unitc bin/unitc-generator -quadlet /usr/libexec/podman/quadlet
//
// It needs root: definitions lie on a tmpfs over /run in a mount namespace of
// its own.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	work        = "/run/bench"
	definitions = "/run/unitc/definitions"
	quadlets    = "/run/containers/systemd" // one of the places that Quadlet looks at
)

// inside marks the process that has the mount namespace.
const inside = "UNITC_BENCH_INSIDE"

func main() {
	unitc := flag.String("unitc", "bin/unitc-generator", "our generator")
	quadlet := flag.String("quadlet", "", "podman's generator; none: ours alone")
	floor := flag.String("floor", "", "a program that does nothing, to know what a process start costs")
	counts := flag.String("n", "1,10,100,1000", "numbers of definitions")
	flag.Parse()
	if err := run(*unitc, *quadlet, *floor, *counts); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(unitc, quadlet, floor, counts string) error {
	if os.Getenv(inside) == "" {
		self := exec.Command("/proc/self/exe", os.Args[1:]...)
		self.Env = append(os.Environ(), inside+"=1")
		self.Stdout, self.Stderr = os.Stdout, os.Stderr
		self.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return self.Run()
	}
	peers := []*peer{{name: "unitc", path: unitc}}
	if quadlet != "" {
		peers = append(peers, &peer{name: "quadlet", path: quadlet, env: []string{"PATH=/usr/bin:/bin"}})
	}
	if floor != "" {
		peers = append(peers, &peer{name: "floor", path: floor})
	}
	for _, p := range peers {
		path, err := filepath.Abs(p.path)
		if err != nil {
			return err
		}
		p.path = path
	}
	fmt.Printf("%6s %-8s %9s %9s %9s   %s\n", "n", "", "CPU ms", "wall ms", "peak MiB", "CPU of unitc / of this")
	for word := range strings.SplitSeq(counts, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		if err := measure(n, peers); err != nil {
			return err
		}
	}
	return nil
}

type peer struct {
	name, path string
	env        []string
	samples    []sample
}

type sample struct {
	cpu, wall time.Duration
	peak      int64 // KiB
}

func measure(n int, peers []*peer) error {
	if err := place(n); err != nil {
		return err
	}
	rounds := min(max(3000/n, 9), 100)
	for _, p := range peers {
		p.samples = nil
	}
	for range rounds {
		for _, p := range peers {
			s, err := p.once()
			if err != nil {
				return err
			}
			p.samples = append(p.samples, s)
		}
	}
	ours := median(peers[0].samples, func(s sample) float64 { return s.cpu.Seconds() * 1e3 })
	for _, p := range peers {
		cpu := median(p.samples, func(s sample) float64 { return s.cpu.Seconds() * 1e3 })
		wall := median(p.samples, func(s sample) float64 { return s.wall.Seconds() * 1e3 })
		peak := median(p.samples, func(s sample) float64 { return float64(s.peak) / 1024 })
		fmt.Printf("%6d %-8s %9.2f %9.2f %9.1f   %.2f\n", n, p.name, cpu, wall, peak, ours/cpu)
	}
	return nil
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// once runs a generator into an empty directory.
func (p *peer) once() (sample, error) {
	out := work + "/out"
	if err := os.RemoveAll(out); err != nil {
		return sample{}, err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return sample{}, err
	}
	cmd := exec.Command(p.path, out)
	cmd.Env = append([]string{}, p.env...)
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.path, err)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{
		cpu:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		wall: time.Since(begin),
		peak: usage.Maxrss,
	}, nil
}

// place writes n definitions for both.
func place(n int) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount / private: %w", err)
	}
	if err := syscall.Mount("bench", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs /run: %w", err)
	}
	for _, dir := range []string{definitions, quadlets, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i := range n {
		name := fmt.Sprintf("web%d", i)
		if err := os.WriteFile(filepath.Join(definitions, name+".yaml"), fmt.Appendf(nil, ourDefinition, i), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(quadlets, name+".container"), fmt.Appendf(nil, quadletDefinition, i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const ourDefinition = `# web server %[1]d
rootfs: /srv/web%[1]d
command: ["/usr/sbin/nginx", "-g", "daemon off;"]
environment:
  PORT: "80%[1]d"
  MODE: production
volumes:
  - /srv/data%[1]d:/data
  - /srv/conf%[1]d:/etc/nginx:ro
mem_limit: 64m
cpus: 0.5
restart: always
systemd:
  unit:
    After: network.target
`

const quadletDefinition = `# web server %[1]d
[Unit]
After=network.target
[Container]
Rootfs=/srv/web%[1]d
Exec=/usr/sbin/nginx -g "daemon off;"
Environment=PORT=80%[1]d
Environment=MODE=production
Volume=/srv/data%[1]d:/data
Volume=/srv/conf%[1]d:/etc/nginx:ro
PodmanArgs=--memory 64m --cpus 0.5
[Service]
Restart=always
[Install]
WantedBy=multi-user.target
`
