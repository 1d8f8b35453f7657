// SPDX-License-Identifier: Apache-2.0

// Package live reads what runs from files: what a start has left below
// /run/unitc, and what the kernel counts in the cgroup of a payload. Nobody is
// asked, so it costs the same whether systemd is idle or starting a thousand
// units; what systemd alone knows is in the units room.
package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/relay/order"
)

// Host is where to look; tests look elsewhere.
type Host struct {
	State   string // /run/unitc
	Cgroups string // /sys/fs/cgroup
	Proc    string // /proc
}

// Here is this host.
var Here = Host{State: "/run/unitc", Cgroups: "/sys/fs/cgroup", Proc: "/proc"}

// Names are the containers that a start has left something of.
func (h Host) Names() ([]string, error) {
	items, err := os.ReadDir(h.State)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what runs: %w", err)
	}
	var names []string
	for _, item := range items {
		if !item.IsDir() || strings.HasPrefix(item.Name(), ".") {
			continue
		}
		if h.Launched(item.Name()) {
			names = append(names, item.Name())
		}
	}
	return names, nil
}

// Launched tells whether a start has left something of a container. Others than
// root may not look into it, and may know its name.
func (h Host) Launched(name string) bool {
	_, err := os.Lstat(h.path(name, "plan.json"))
	if errors.Is(err, fs.ErrPermission) {
		_, err = os.Lstat(filepath.Join(h.State, name))
	}
	return err == nil
}

func (h Host) path(name, file string) string { return filepath.Join(h.State, name, file) }

// Permitted tells whether this user may know what was launched.
func (h Host) Permitted() error {
	if _, err := os.ReadDir(h.State); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("reading what was launched: %w", err)
	}
	return nil
}

// Started is when the payload was launched.
func (h Host) Started(name string) (time.Time, bool) {
	st, err := os.Stat(h.path(name, "plan.json"))
	if err != nil {
		return time.Time{}, false
	}
	return st.ModTime(), true
}

// Plan is what was launched.
func (h Host) Plan(name string) (*plan.Plan, error) {
	p := &plan.Plan{}
	if err := h.read(name, "plan.json", p); err != nil {
		return nil, err
	}
	return p, nil
}

// Definition is the resolved definition that was launched, which may differ
// from the file's by now.
func (h Host) Definition(name string) (*definition.Service, error) {
	r := &definition.Resolved{}
	if err := h.read(name, "definition.json", r); err != nil {
		return nil, err
	}
	if r.Service == nil {
		return nil, fmt.Errorf("%s: no service in it", h.path(name, "definition.json"))
	}
	return r.Service, nil
}

// AttachSocket is where the streams of a container are joined.
func (h Host) AttachSocket(name string) string { return h.path(name, order.AttachSocket) }

// Record writes down that a definition runs, after changes that took no restart.
func (h Host) Record(name string, s *definition.Service) error {
	data := (&definition.Resolved{Version: definition.ResolvedVersion, Service: s}).AppendJSON(nil)
	temp := h.path(name, ".definition.json")
	err := os.WriteFile(temp, data, 0o600)
	if err == nil {
		err = os.Rename(temp, h.path(name, "definition.json"))
	}
	if err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("writing down what runs: %w", err)
	}
	return nil
}

func (h Host) read(name, file string, into any) error {
	data, err := os.ReadFile(h.path(name, file))
	if err != nil {
		return fmt.Errorf("reading what was launched: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading what was launched: %s: %w", h.path(name, file), err)
	}
	return nil
}

// FindCgroups finds the cgroups of units by looking for them in the slices, as
// names and paths need not follow from each other (C-11): "unitc-web.scope" to
// its directory.
func (h Host) FindCgroups() map[string]string {
	found := map[string]string{}
	h.walk(h.Cgroups, found)
	return found
}

// Payloads gives the cgroup of each container's payload that is there.
func (h Host) Payloads(names []string, scopeOf func(name string) string) map[string]string {
	all := h.FindCgroups()
	found := make(map[string]string, len(names))
	for _, name := range names {
		if dir := PayloadOf(all, name, scopeOf); dir != "" {
			found[name] = dir
		}
	}
	return found
}

// PayloadOf finds the cgroup of a container's payload in those of all units, ""
// if it has none.
func PayloadOf(all map[string]string, name string, scopeOf func(name string) string) string {
	if dir, ok := all[scopeOf(name)]; ok {
		return dir
	}
	return all[name+".service"]
}

// readNames lists a directory, in no order; what they are is plain from the
// names.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (h Host) walk(dir string, found map[string]string) {
	items, err := readNames(dir)
	if err != nil {
		return // gone since its parent was read
	}
	for _, name := range items {
		switch {
		case strings.HasSuffix(name, ".slice"):
			h.walk(dir+"/"+name, found)
		case strings.HasSuffix(name, ".scope"), strings.HasSuffix(name, ".service"):
			// systemd escapes names that are the kernel's too (C-10).
			found[strings.TrimPrefix(name, "_")] = dir + "/" + name
		}
	}
}

// Processes are all processes below a cgroup, the payload's first one first.
func Processes(cgroup string) ([]int, error) {
	var list []int
	err := filepath.WalkDir(cgroup, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a cgroup that ended while it was read
		}
		if err != nil || !d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path + "/cgroup.procs")
		if err != nil {
			return nil // ENODEV: it ended between open and read
		}
		for line := range strings.Lines(string(data)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				list = append(list, pid)
			}
		}
		return nil
	})
	return list, err
}
