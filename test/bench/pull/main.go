// SPDX-License-Identifier: Apache-2.0

// Command pull measures `unitc pull` beside `podman pull` and skopeo with umoci:
// wall time, CPU and peak memory for an image of about 300 MB, 10,000 files and
// 6 layers, from a registry on the loopback. The peers run in turns, each into
// an empty store on the same file system, so that the ratios hold on a busy
// machine. Nothing is asserted.
//
//	bin/lab tree peers
//	go run ./test/bench/pull -tree /var/cache/unitc-lab/peers-*/root -dir /var/tmp
//
// It needs root: programs of the tree run in a chroot over it, in a mount
// namespace of their own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// inside marks the process that has the mount namespace.
const inside = "UNITC_BENCH_INSIDE"

// serving marks the process that is the registry.
const serving = "UNITC_BENCH_SERVE"

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	tree := flag.String("tree", "", "the root of a system with podman, skopeo and umoci")
	dir := flag.String("dir", "/var/tmp", "a directory of the file system to measure on")
	unitc := flag.String("unitc", "bin/unitc", "our program; several, with commas between, are measured beside each other")
	only := flag.String("peers", ".", "measure only the peers whose names fit this regular expression")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	size := flag.Int("mb", 300, "size of the image before compression")
	flag.Parse()
	if os.Getenv(serving) != "" {
		if err := serve(*size); err != nil {
			log.Fatal(err)
		}
		return
	}
	if os.Getenv(inside) == "" {
		self := exec.Command("/proc/self/exe", os.Args[1:]...)
		self.Env = append(os.Environ(), inside+"=1")
		self.Stdout, self.Stderr = os.Stdout, os.Stderr
		self.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if err := self.Run(); err != nil {
			os.Exit(1)
		}
		return
	}
	chosen, err := choose(strings.Split(*unitc, ","), *only)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(*tree, *dir, chosen, *rounds); err != nil {
		log.Fatal(err)
	}
}

const imagePath = "/bench:1"

// serve is the registry: a process of its own, because what a process has in
// memory counts as the peak of those that it starts (getrusage(2)).
func serve(size int) error {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	host := strings.TrimPrefix(server.URL, "http://")
	if err := push(host+imagePath, size); err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	fmt.Println(host)
	select {}
}

// place is the chroot.
type place struct{ top, root, scratch string }

func run(tree, dir string, peers []peer, rounds int) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount / private: %w", err)
	}
	top, err := os.MkdirTemp(dir, "unitc-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(top)
	p := &place{top, top + "/root", top + "/scratch"}
	if err := p.make(tree, peers); err != nil {
		return err
	}
	defer p.unmount()
	server := exec.Command("/proc/self/exe", os.Args[1:]...)
	server.Env = append(os.Environ(), serving+"=1")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Process.Kill()
	var host string
	if _, err := fmt.Fscanln(out, &host); err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	image := host + imagePath
	conf := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host)
	if err := os.WriteFile(p.root+"/etc/unitc/registries.conf", []byte(conf), 0o644); err != nil {
		return err
	}
	return p.measure(peers, image, rounds)
}

func (p *place) make(tree string, peers []peer) error {
	for _, d := range []string{p.root, p.scratch, p.top + "/upper", p.top + "/work"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	data := "lowerdir=" + tree + ",upperdir=" + p.top + "/upper,workdir=" + p.top + "/work"
	if err := syscall.Mount("overlay", p.root, "overlay", 0, data); err != nil {
		return fmt.Errorf("mount overlay %s: %w", data, err)
	}
	for _, d := range []string{"/scratch", "/var/lib/unitc", "/etc/unitc"} {
		if err := os.MkdirAll(p.root+d, 0o755); err != nil {
			return err
		}
	}
	for _, m := range [][2]string{{"/proc", "/proc"}, {"/dev", "/dev"}, {"/sys", "/sys"}, {p.scratch, "/scratch"}} {
		if err := syscall.Mount(m[0], p.root+m[1], "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", m[0], err)
		}
	}
	if err := syscall.Mount("tmpfs", p.root+"/run", "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, peer := range peers {
		if peer.program == "" {
			continue
		}
		if err := install(peer.program, p.root+"/usr/bin/"+peer.name); err != nil {
			return err
		}
	}
	return nil
}

// install copies a program, and not through this process's memory: see serve.
func install(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// unmount lets the directory be removed; nothing of the host is below it then.
func (p *place) unmount() {
	for _, d := range []string{"/run", "/scratch", "/sys", "/dev", "/proc", ""} {
		if err := syscall.Unmount(p.root+d, syscall.MNT_DETACH); err != nil {
			log.Fatalf("unmounting %s: %v; remove %s by hand", p.root+d, err, p.top)
		}
	}
}

// peer is what is measured: one or more commands, with %i for the image
// and %s for an empty directory.
type peer struct {
	name     string
	program  string // of ours: where it is
	commands []string
}

// choose lists ours, which come first, and the others.
func choose(programs []string, only string) ([]peer, error) {
	fits, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	var peers []peer
	for _, program := range programs {
		name := filepath.Base(program)
		peers = append(peers, peer{name, program, []string{name + " --root %s pull --quiet --registries-conf /etc/unitc/registries.conf %i"}})
	}
	for _, p := range []peer{
		{"podman", "", []string{"podman --root %s/podman --runroot /run/podman pull --quiet --tls-verify=false %i"}},
		{"skopeo+umoci", "", []string{"skopeo copy --quiet --insecure-policy --src-tls-verify=false docker://%i oci:%s/oci:x", "umoci unpack --image %s/oci:x %s/bundle"}},
	} {
		if fits.MatchString(p.name) {
			peers = append(peers, p)
		}
	}
	return peers, nil
}

type sample struct {
	wall, cpu time.Duration
	peak      int64 // KiB
}

func (p *place) measure(peers []peer, image string, rounds int) error {
	samples := make([][]sample, len(peers))
	for round := range rounds + 1 {
		for i, peer := range peers {
			s, err := p.once(peer.commands, image)
			if err != nil {
				return fmt.Errorf("%s: %w", peer.name, err)
			}
			if round > 0 { // the first one warms caches
				samples[i] = append(samples[i], s)
			}
		}
	}
	fmt.Printf("%-13s %9s %9s %9s %9s   %s\n", "", "wall s", "least", "CPU s", "peak MiB", peers[0].name+" / this: wall, least wall, CPU")
	wall, cpu := func(s sample) float64 { return s.wall.Seconds() }, func(s sample) float64 { return s.cpu.Seconds() }
	for i, peer := range peers {
		w, c := median(samples[i], wall), median(samples[i], cpu)
		l := least(samples[i], wall)
		peak := median(samples[i], func(s sample) float64 { return float64(s.peak) / 1024 })
		fmt.Printf("%-13s %9.2f %9.2f %9.2f %9.1f   %.2f %.2f %.2f\n", peer.name, w, l, c, peak,
			median(samples[0], wall)/w, least(samples[0], wall)/l, median(samples[0], cpu)/c)
	}
	return nil
}

func least(samples []sample, of func(sample) float64) float64 {
	value := of(samples[0])
	for _, s := range samples {
		value = min(value, of(s))
	}
	return value
}

func median(samples []sample, of func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// once runs a peer's commands with an empty directory. What the run before has
// made stays until the end: ext4 passes over the inodes of files that were
// deleted in the last minutes one by one (recently_deleted in fs/ext4/ialloc.c),
// and to pull right after a removal took twice the CPU.
func (p *place) once(commands []string, image string) (sample, error) {
	var sum sample
	scratch, err := os.MkdirTemp(p.scratch, "")
	if err != nil {
		return sum, err
	}
	replace := strings.NewReplacer("%i", image, "%s", "/scratch/"+filepath.Base(scratch))
	syscall.Sync()
	for _, line := range commands {
		words := strings.Fields(replace.Replace(line))
		cmd := exec.Command("/usr/bin/"+words[0], words[1:]...)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root}
		cmd.Dir = "/"
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return sum, fmt.Errorf("%s: %w: %s", line, err, out)
		}
		sum.wall += time.Since(begin)
		sum.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		sum.peak = max(sum.peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	}
	return sum, nil
}
