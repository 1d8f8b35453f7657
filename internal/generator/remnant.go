// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/searchpath"
)

// lookForLaunched lists what the helper has left of containers that run: at boot
// nothing.
func (r *run) lookForLaunched() {
	if r.StateDir == "" {
		return
	}
	// Where it is not there nothing was ever launched.
	r.launched, _ = searchpath.ListDirs(r.Root + r.StateDir)
}

// launchedAs is what a container was launched as, nil if that cannot be read.
func launchedAs(data []byte) *definition.Service {
	resolved := &definition.Resolved{}
	if err := quickjson.Parse(data, resolved); err != nil || resolved.Version != definition.ResolvedVersion {
		return nil
	}
	return resolved.Service
}

func (r *run) readLaunched(stem string) ([]byte, error) {
	return os.ReadFile(r.Root + r.StateDir + "/" + stem + "/definition.json")
}

// remnants writes units for containers that run and whose definitions are gone.
// A unit without a file loses what it does at its stop (G-8): the stop signal
// and time-out of the definition, and the clean-up. The helper leaves what it
// launched below StateDir, and nothing is left there after a stop, so the next
// reload forgets the unit.
func (r *run) remnants() {
	for _, stem := range slices.Sorted(maps.Keys(r.launched)) {
		name := stem + serviceSuffix
		if r.knows(name) || r.native.path(name) != "" {
			continue
		}
		data, err := r.readLaunched(stem)
		if err != nil {
			continue
		}
		if s := launchedAs(data); s != nil && r.runs(name, s) {
			r.out.write(remnant(name, s, r.OutDir, r.Helper))
		}
	}
}

// needsCleanUp tells whether what runs under the name of a unit without clean-up
// was launched as something that needs it: the definition has been changed since.
func (r *run) needsCleanUp(u unit) bool {
	if !r.launched[u.stem()] {
		return false
	}
	data, err := r.readLaunched(u.stem())
	if err != nil {
		return true // it is being started, as whatever
	}
	if bytes.Equal(data, u.resolved) {
		return false
	}
	s := launchedAs(data)
	return s == nil || s.LeavesTraces() || s.LeavesRemains()
}

// knows tells whether a definition has made the unit, or its template.
func (r *run) knows(name string) bool {
	if r.claimed[name] != "" {
		return true
	}
	template, _, ok := strings.Cut(name, "@")
	return ok && r.claimed[template+"@"+serviceSuffix] != ""
}

// runs tells whether systemd has a cgroup for the unit: it has as long as the
// unit is not inactive. What a crash has left behind is no container.
func (r *run) runs(name string, s *definition.Service) bool {
	slice := s.System.Slice
	if slice == "" {
		slice = defaultSlice
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(r.Root, root, cgroupfs.OwnRoot()+cgroupfs.SlicePath(slice), name)); err == nil {
			return true
		}
	}
	return false
}

// remnant is the unit of what was launched, as one of a broken definition.
func remnant(name string, s *definition.Service, outDir, helper string) unit {
	gone := diag.List{{File: s.Source.File, What: "the definition of " + strings.TrimSuffix(name, serviceSuffix) + " is gone",
		Cure: "`systemctl stop` it, or put the definition back and reload"}}
	t := translation{service: s, source: s.Source.File, outDir: outDir, helper: helper, broken: true, gone: true, room: &room{}}
	t.unit.name = name
	t.unit.text = t.text(gone)
	t.unit.resolved = resolve(nil, nil, gone)
	return t.unit
}
