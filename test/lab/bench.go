// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
// them in turns, and makes tables and plots of the rows in bin/bench.
func cmdBench(args []string) error {
	source, err := sourceDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(source, "bin", "bench")
	if err := buildBench(source, dir); err != nil {
		return err
	}
	j := &job{Suite: peers.name, Source: source, checkout: source, Dir: "/root/bench"}
	for _, name := range []string{"suite", "floor", "payload"} {
		j.Copies = append(j.Copies, filepath.Join(dir, name)+":/root/bench/"+name)
	}
	j.Command = append([]string{"/root/bench/suite"}, args...)
	j.setEnv()
	if err := j.prepare(); err != nil {
		return err
	}
	rows := filepath.Join(dir, "bench.tsv")
	file, err := os.Create(rows)
	if err != nil {
		return err
	}
	if err := errors.Join(j.run(nil, io.MultiWriter(file, os.Stderr), os.Stderr), file.Close()); err != nil {
		return err
	}
	report := exec.Command(filepath.Join(dir, "suite"), "-report", rows, "-out", dir)
	report.Stdout, report.Stderr = os.Stdout, os.Stderr
	return report.Run()
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
