// SPDX-License-Identifier: Apache-2.0

// unitc-generator makes systemd units of the definitions in /etc/unitc and its
// like; PID 1 runs it at boot and at each daemon-reload (systemd.generator(7)).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	_ "github.com/unitc/unitc/internal/bigstack"
	"github.com/unitc/unitc/internal/buildinfo"
	_ "github.com/unitc/unitc/internal/entry" // where it begins
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/loader"
)

const usage = "usage: unitc-generator DIRECTORY [EARLY-DIRECTORY LATE-DIRECTORY]"

func main() {
	os.Exit(run(os.Args[1:]))
}

// run gives 0 unless nothing could be written: PID 1 does no more with the
// status than log it (G-11).
func run(args []string) int {
	if os.Getenv("SYSTEMD_IN_INITRD") == "1" || os.Getenv("SYSTEMD_SCOPE") == "user" {
		// G-13. The initrd has no definitions, and containers of users are not
		// made yet.
		return 0
	}
	outDir, ok := outputDir(args)
	if !ok {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	// G-18: systemd sets this, a shell may not.
	unix.Umask(0o022)
	log := generator.Log{}
	err := generator.Run(generator.Config{
		OutDir:   outDir,
		Helper:   buildinfo.HelperPath,
		StateDir: "/run/unitc",
		Parse:    loader.Parse,
		Found:    spendMemory,
		Report:   log.Problem,
	})
	if err != nil {
		log.Error(err)
		return 1
	}
	return 0
}

// spendMemory collects garbage less often where there are many definitions: what is
// kept of each is marked again in each collection, a tenth of all time at 1,000 and
// a fifth at 5,000. It takes 11 MiB in place of 9 there, and 35 in place of 20.
func spendMemory(definitions int) {
	switch {
	case definitions > 1500:
		debug.SetGCPercent(400)
	case definitions > 300:
		debug.SetGCPercent(150)
	}
}

// outputDir is the late directory, whose units override nobody's (G-1, G-12).
// The units name it, so it must be absolute.
func outputDir(args []string) (string, bool) {
	if len(args) != 1 && len(args) != 3 {
		return "", false
	}
	dir, err := filepath.Abs(args[len(args)-1])
	return dir, err == nil
}
