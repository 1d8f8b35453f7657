// SPDX-License-Identifier: Apache-2.0

// Package generator makes systemd units of definitions (systemd.generator(7)).
//
// It is run by PID 1 at boot and at every daemon-reload, as root, while nothing
// else of the system can be relied on. So it talks to nobody (G-3), reads only
// definitions and the directories of unit files (G-5), writes only below its
// output directory (G-6), remembers nothing (G-8) and goes on whatever a file
// holds: each definition gives its unit, a broken one a unit that says so.
//
// What it writes for web.yaml is web.service, the links that start it at boot,
// and, in the file .unitc, the resolved definition for the helper. It parses no
// YAML itself: the parser is given to it.
package generator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/unitfile"
)

// Config is one run.
type Config struct {
	// Root is put before the search path and the directories of native units;
	// "" is the host.
	Root string
	// Dirs are searched in place of the search path; nil = searchpath.Dirs.
	Dirs []string
	// Select leaves out the definitions for which it is false; nil = none.
	Select func(*searchpath.Entry) bool
	// OutDir is the absolute path of the output directory. The units name it.
	OutDir string
	// WriteTo is written to in place of OutDir, for a look at what would be
	// generated; "" = OutDir.
	WriteTo string
	// Helper is the absolute path of unitc-exec.
	Helper string
	// StateDir has a directory for each container that runs; "" = none is looked
	// for.
	StateDir string
	// Parse reads a definition, the problems of finding it included. It must
	// return whatever the bytes are. A file is not used any more when the next is read.
	Parse func(searchpath.Source) definition.File
	// Found is told the number of definitions before any is read; nil = nobody is.
	Found func(definitions int)
	// Abandon is asked after each definition; true ends the run with ErrAbandoned.
	// nil = false.
	Abandon func() bool
	// Report takes each problem in the order of definitions.
	Report func(diag.Problem)
}

// ErrAbandoned is told of a run that has left nothing behind.
var ErrAbandoned = errors.New("the run was abandoned")

// Run generates all units. An error means that nothing, or not all, could be
// written; what is wrong with a definition is reported and never an error.
func Run(cfg Config) error {
	out, err := openOutput(cmp.Or(cfg.WriteTo, cfg.OutDir))
	if err != nil {
		return err
	}
	defer out.close()
	dirs := cfg.Dirs
	if dirs == nil {
		dirs = searchpath.Dirs
	}
	tree := searchpath.OpenDirs(cfg.Root, dirs)
	defer tree.Close()
	for _, p := range tree.Problems {
		cfg.Report(p)
	}
	if cfg.Found != nil {
		cfg.Found(len(tree.Names()))
	}
	out.units = make([]waiting, 0, len(tree.Names())+4)
	r := run{Config: cfg, out: out, native: openNative(cfg.Root, cfg.OutDir, len(tree.Names())), claimed: map[string]string{}}
	r.lookForLaunched()
	defer r.native.close()
	for _, name := range tree.Names() {
		// Found by its name, so it is there.
		entry, _ := tree.Entry(name)
		if !entry.Masked && (cfg.Select == nil || cfg.Select(entry)) {
			r.definition(tree.Read(entry))
		}
		if cfg.Abandon != nil && cfg.Abandon() {
			out.abandon()
			return ErrAbandoned
		}
	}
	r.remnants()
	r.writeLoaded()
	out.finish()
	return out.err
}

// run is the state of one pass over the definitions.
type run struct {
	Config
	out    *output
	native *native
	// claimed maps a unit's name to the definition that has it.
	claimed map[string]string
	// launched are the names below StateDir: of containers that run, or that a
	// crash has left.
	launched map[string]bool
	// loaded are the units that systemd is to keep in memory.
	loaded []string
	room   room
}

// definition writes all units of one definition.
func (r *run) definition(src searchpath.Source) {
	r.room.empty()
	file := r.parse(src)
	for _, p := range file.Problems {
		r.Report(p)
	}
	var displaced []string // names that are another's
	for _, u := range translate(file, r.OutDir, r.Helper, &r.room) {
		if slices.Contains(displaced, u.starts) {
			continue // it would start the other
		}
		if u.shared {
			// Once is enough, and the administrator's own wins (G-12).
			if r.claimed[u.name] == "" && r.native.path(u.name) == "" {
				r.claimed[u.name] = file.Path
				r.out.write(u)
			}
			continue
		}
		wanted := u.name
		if u = r.settleName(u, file); u.name != wanted {
			displaced = append(displaced, wanted)
		}
		if u.careful != nil && r.needsCleanUp(u) {
			u.text = u.careful()
		}
		for _, p := range u.problems {
			r.Report(p)
		}
		r.keepLoaded(&u)
		r.out.write(u)
	}
}

// parse holds a panic of the parser to the one definition (G-11: PID 1 only
// logs that a generator failed, and all units would be gone).
func (r *run) parse(src searchpath.Source) (file definition.File) {
	defer func() {
		if p := recover(); p != nil {
			file = definition.File{Name: src.Name, Path: src.Path, Problems: diag.List{{
				File: src.Path, What: fmt.Sprintf("reading it made unitc panic: %v", p), Cure: "report this as a bug of unitc with the file"}}}
		}
	}()
	return r.Parse(src)
}

// settleName gives a unit its name, or another one if the name is taken by a
// native unit (G-12) or by an earlier definition: then the definition is not
// used, and a unit beside it says so.
func (r *run) settleName(u unit, file definition.File) unit {
	taken := r.native.path(u.name)
	what := "exists already: " + taken
	if other := r.claimed[u.name]; taken == "" && other != "" {
		taken = other
		what = "is already made by " + other
	}
	if taken == "" {
		r.claimed[u.name] = file.Path
		return r.settleAliases(u, file)
	}
	conflict := diag.List{{File: file.Path, What: "the unit " + u.name + " " + what, Cure: "rename the definition, or remove that unit"}}
	u = errorUnit(r.freeName("unitc-conflict-"+u.stem()), file.Path, conflict, r.OutDir, r.Helper, &r.room)
	u.problems = conflict
	r.claimed[u.name] = file.Path
	return u
}

// settleAliases drops the aliases whose names are taken.
func (r *run) settleAliases(u unit, file definition.File) unit {
	if !slices.ContainsFunc(u.links, func(l link) bool { return l.alias }) {
		return u
	}
	var kept []link
	for _, l := range u.links {
		taken := ""
		if l.alias {
			if taken = r.native.path(l.path); taken == "" {
				taken = r.claimed[l.path]
			}
		}
		if taken != "" {
			u.problems = append(u.problems, diag.Problem{File: file.Path, Severity: diag.Warning, Path: "systemd.install.Alias",
				What: l.path + " exists already: " + taken, Cure: "choose another name"})
			continue
		}
		if l.alias {
			r.claimed[l.path] = file.Path
		}
		kept = append(kept, l)
	}
	u.links = kept
	return u
}

// freeName finds a name for an error unit that nobody has.
func (r *run) freeName(stem string) string {
	name := stem
	for i := 2; r.claimed[name+serviceSuffix] != "" || unitfile.NameKind(name+serviceSuffix) == unitfile.Invalid; i++ {
		name = fmt.Sprintf("%.200s-%d", stem, i)
	}
	return name + serviceSuffix
}
