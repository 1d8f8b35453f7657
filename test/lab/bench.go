// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// peers is a machine with what people run containers with today: the newest
// that Debian has.
var peers = suite{
	name: "peers", release: "forky", apt: []string{`Acquire::Check-Valid-Until "false"`},
	include: []string{"podman", "netavark", "aardvark-dns", "systemd-container", "bubblewrap", "skopeo", "umoci"},
}

// benchPackages compile the floor and the payload, which are C.
var benchPackages = []string{"gcc", "libc6-dev"}

// cmdBench boots a machine with the peers, has test/bench/suite measure all of
// them in turns, and makes tables and plots of the rows in bin/bench. Boots are
// measured in a VM.
func cmdBench(args []string) error {
	source, err := sourceDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(source, "bin", "bench")
	if err := buildBench(source, dir); err != nil {
		return err
	}
	boots, err := wantsBoots(args)
	if err != nil {
		return err
	}
	rows := filepath.Join(dir, "bench.tsv")
	file, err := os.Create(rows)
	if err != nil {
		return err
	}
	defer file.Close()
	measure := func(j *job) error {
		j.Suite, j.Source, j.checkout, j.Dir = peers.name, source, source, "/root/bench"
		for _, name := range []string{"suite", "floor", "payload"} {
			j.Copies = append(j.Copies, filepath.Join(dir, name)+":/root/bench/"+name)
		}
		j.setEnv()
		if err := j.prepare(); err != nil {
			return err
		}
		return j.run(nil, io.MultiWriter(file, os.Stderr), os.Stderr)
	}
	if err := measure(&job{Command: append([]string{"/root/bench/suite"}, args...)}); err != nil {
		return err
	}
	if boots {
		if err := measure(&job{Command: append([]string{"/root/bench/suite", "-boots"}, args...), VM: true, Instructions: true, Timeout: bootsTimeout}); err != nil {
			return fmt.Errorf("boots: %w", err)
		}
	}
	report := exec.Command(filepath.Join(dir, "suite"), "-report", rows, "-out", dir)
	report.Stdout, report.Stderr = os.Stdout, os.Stderr
	return report.Run()
}

// bootsTimeout bounds all boots that are measured.
const bootsTimeout = 90 * time.Minute

// wantsBoots tells whether the suite's options ask for boots, for which the quick
// form has no time.
func wantsBoots(args []string) (bool, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick, rows := f.Bool("quick", false, ""), f.String("rows", ".", "")
	f.String("peers", "", "")
	f.Int("n", 0, "")
	if err := f.Parse(args); err != nil {
		return false, err
	}
	re, err := regexp.Compile(*rows)
	return err == nil && !*quick && re.MatchString("boot"), err
}

func buildBench(source, dir string) error {
	if err := ensurePackages(benchPackages); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"floor", "payload"} {
		if err := quietly(nil, "cc", "-O2", "-static", "-o", filepath.Join(dir, name), filepath.Join(source, "test/bench/floor", name+".c")); err != nil {
			return err
		}
	}
	build := exec.Command("go", "build", "-o", dir+"/", "./test/bench/suite")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the benchmark: %w\n%s", err, out)
	}
	return nil
}
