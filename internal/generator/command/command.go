// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of the generator, which is two programs:
// unitc-generator reads the plain part of YAML, in which nearly all definitions
// are written. Where one is not, it becomes unitc-generator-yaml before anything is
// written.
package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/entry"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax"
)

// The host, for which tests have others.
var (
	root   = ""
	newLog = func() log { return &generator.Log{} }
)

type log interface {
	Problem(diag.Problem)
	Error(error)
}

const usage = "usage: unitc-generator DIRECTORY [EARLY-DIRECTORY LATE-DIRECTORY]"

// Run generates with what the library reads. Its status is 0 unless nothing could be
// written: PID 1 does no more with it than log it (G-11).
func Run(args []string, library syntax.Library) int {
	cfg, status, ok := prepare(args)
	if !ok {
		return status
	}
	return generate(cfg, library)
}

// RunPlain generates with no library. Where one is needed, the program at path takes
// the place of this one; where that is not possible, the other definitions are
// generated nevertheless.
func RunPlain(args []string, path string) int {
	cfg, status, ok := prepare(args)
	if !ok {
		return status
	}
	needed := false
	var problems diag.List
	first := cfg
	first.Parse = parseWith(unavailable(func() error { needed = true; return &syntax.UnavailableError{} }))
	first.Abandon = func() bool { return needed }
	// What is logged before the other program takes over would be logged twice.
	first.Report = func(p diag.Problem) {
		if len(problems) < generator.MaxLogLines {
			problems = append(problems, p)
		}
	}
	err := generator.Run(first)
	if errors.Is(err, generator.ErrAbandoned) {
		entry.RestoreLimits()
		err := syscall.Exec(path, os.Args, os.Environ())
		missing := &syntax.UnavailableError{Cure: "make install, or install the package",
			What: fmt.Sprintf("what is written here is read by %s, which cannot be run: %v", path, err)}
		return generate(cfg, unavailable(func() error { return missing }))
	}
	log := newLog()
	for _, p := range problems {
		log.Problem(p)
	}
	return end(log, err)
}

// prepare gives a run for which only a parser is missing, or a status.
func prepare(args []string) (cfg generator.Config, status int, ok bool) {
	if os.Getenv("SYSTEMD_IN_INITRD") == "1" {
		return cfg, 0, false // G-13. The initrd has no definitions.
	}
	if os.Getenv("SYSTEMD_SCOPE") == "user" {
		if os.Geteuid() == 0 {
			return cfg, 0, false // root's containers are the system's
		}
		endAfter(patience)
		if err := realm.Begin(); err != nil {
			newLog().Error(err)
			return cfg, 1, false
		}
	}
	outDir, ok := outputDir(args)
	if !ok {
		fmt.Fprintln(os.Stderr, usage)
		return cfg, 2, false
	}
	// G-18: systemd sets this, a shell may not.
	unix.Umask(0o022)
	if realm.Own() != nil {
		searchpath.Dirs = realm.Definitions()
	}
	return generator.Config{Root: root, OutDir: outDir, Helper: buildinfo.HelperPath, StateDir: realm.Run, Found: spendMemory}, 0, true
}

func generate(cfg generator.Config, library syntax.Library) int {
	log := newLog()
	cfg.Parse, cfg.Report = parseWith(library), log.Problem
	return end(log, generator.Run(cfg))
}

func end(log log, err error) int {
	if err != nil {
		log.Error(err)
		return 1
	}
	return 0
}

func parseWith(library syntax.Library) func(searchpath.Source) definition.File {
	memory := &compose.Memory{}
	return func(src searchpath.Source) definition.File { return loader.ParseInto(memory, src, library) }
}

// unavailable reads nothing; instead it calls what says so.
func unavailable(asked func() error) syntax.Library {
	return syntax.Library{
		YAML:      func([]byte, int) ([]*syntax.Node, error) { return nil, asked() },
		CheckYAML: func([]byte) error { return asked() },
		Regexp:    func(string) error { return asked() },
	}
}

// spendMemory collects garbage less often where there are many definitions: with
// 1,000 not at all, which is a twentieth of the time and a third of a MiB.
func spendMemory(definitions int) {
	if definitions > 300 {
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
