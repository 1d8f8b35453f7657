// SPDX-License-Identifier: Apache-2.0

// Package registry finds devices by name in the specifications that their
// vendors have placed on the host (Container Device Interface, SPEC.md).
package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/unitc/unitc/internal/cdi"
)

// Dirs hold specifications; of a device that is in both, the later one's is
// taken: what a driver finds at boot is newer than what was installed.
var Dirs = []string{"/etc/cdi", "/var/run/cdi"}

// Limits on what is read: they are files of root, and still not to be trusted
// to be what they seem.
const (
	maxFile  = 4 << 20
	maxFiles = 1024
)

// spec is one file.
type spec struct {
	Version     string            `yaml:"cdiVersion"`
	Kind        string            `yaml:"kind"`
	Annotations map[string]string `yaml:"annotations"`
	Devices     []device          `yaml:"devices"`
	Edits       edits             `yaml:"containerEdits"`

	path  string
	order int // of its directory
}

type device struct {
	Name        string            `yaml:"name"`
	Annotations map[string]string `yaml:"annotations"`
	Edits       edits             `yaml:"containerEdits"`
}

type edits struct {
	Env         []string    `yaml:"env"`
	DeviceNodes []node      `yaml:"deviceNodes"`
	NetDevices  []yaml.Node `yaml:"netDevices"`
	Mounts      []struct {
		HostPath      string   `yaml:"hostPath"`
		ContainerPath string   `yaml:"containerPath"`
		Options       []string `yaml:"options"`
		Type          string   `yaml:"type"`
	} `yaml:"mounts"`
	Hooks []struct {
		Name    string   `yaml:"hookName"`
		Path    string   `yaml:"path"`
		Args    []string `yaml:"args"`
		Env     []string `yaml:"env"`
		Timeout *int     `yaml:"timeout"`
	} `yaml:"hooks"`
	IntelRdt yaml.Node `yaml:"intelRdt"`
	GIDs     []uint32  `yaml:"additionalGids"`
}

type node struct {
	Path        string  `yaml:"path"`
	HostPath    string  `yaml:"hostPath"`
	Type        string  `yaml:"type"`
	Major       int64   `yaml:"major"`
	Minor       int64   `yaml:"minor"`
	FileMode    *uint32 `yaml:"fileMode"`
	Permissions string  `yaml:"permissions"`
	UID         *uint32 `yaml:"uid"`
	GID         *uint32 `yaml:"gid"`
}

// Resolve gives what the named devices need, in the order of names, each
// once; a file's own edits come before those of its first device.
func Resolve(dirs []string, names []string) (*cdi.Edits, error) {
	specs, faults := load(dirs)
	out := &cdi.Edits{}
	var done []*edits
	for _, word := range names {
		name, ok := cdi.ParseName(word)
		if !ok {
			return nil, fmt.Errorf("%q is no name of a device; write vendor.com/class=name", word)
		}
		s, d, err := find(specs, faults, dirs, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(done, &s.Edits) {
			done = append(done, &s.Edits)
			s.Edits.add(out)
		}
		if !slices.Contains(done, &d.Edits) {
			done = append(done, &d.Edits)
			d.Edits.add(out)
		}
	}
	return out, nil
}

// find gives the specification of the last directory that has the device. Two
// of one directory contradict each other.
func find(specs []*spec, faults []error, dirs []string, name cdi.Name) (found *spec, d *device, err error) {
	var known []string
	for _, s := range specs {
		if s.Kind != name.Kind() {
			continue
		}
		for i := range s.Devices {
			if s.Devices[i].Name != name.Device {
				known = append(known, s.Devices[i].Name)
				continue
			}
			if found != nil && found.order == s.order {
				return nil, nil, fmt.Errorf("%s is in two specifications, %s and %s; remove one", name, found.path, s.path)
			}
			found, d = s, &s.Devices[i]
		}
	}
	switch {
	case found != nil:
		return found, d, nil
	case len(faults) > 0:
		return nil, nil, fmt.Errorf("no specification that can be read has %s: %w", name, errors.Join(faults...))
	case len(known) > 0:
		slices.Sort(known)
		return nil, nil, fmt.Errorf("%s has no device %s; its devices are %s", name.Kind(), name.Device, strings.Join(slices.Compact(known), ", "))
	}
	return nil, nil, fmt.Errorf("no specification in %s is for %s; the vendor's tool writes one (for NVIDIA: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml)",
		strings.Join(dirs, " or "), name.Kind())
}

// load reads all specifications. One that cannot be read says so only when a
// device is not found elsewhere.
func load(dirs []string) (specs []*spec, faults []error) {
	for order, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
		for _, e := range entries[:min(len(entries), maxFiles)] {
			if ext := filepath.Ext(e.Name()); ext != ".yaml" && ext != ".json" || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			s, err := read(filepath.Join(dir, e.Name()))
			if err != nil {
				faults = append(faults, err)
				continue
			}
			s.order = order
			specs = append(specs, s)
		}
	}
	return specs, faults
}

// read reads one file; JSON is YAML.
func read(path string) (*spec, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	s := &spec{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	// A part that nobody carries out may be the one that the device needs.
	decoder.KnownFields(true)
	if err := decoder.Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, s.check()
}

func (s *spec) check() error {
	if major, _, _ := strings.Cut(s.Version, "."); major != "0" && major != "1" {
		return fmt.Errorf("%s: cdiVersion %q, where 0.x and 1.x are known", s.path, s.Version)
	}
	all := []edits{s.Edits}
	for _, d := range s.Devices {
		if _, ok := cdi.ParseName(s.Kind + "=" + d.Name); !ok {
			return fmt.Errorf("%s: %s=%s is no name of a device", s.path, s.Kind, d.Name)
		}
		all = append(all, d.Edits)
	}
	for _, e := range all {
		if err := e.check(); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
	}
	return nil
}

var hookNames = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

func (e *edits) check() error {
	for _, v := range e.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			return fmt.Errorf("env %q is not NAME=VALUE", v)
		}
	}
	for _, n := range e.DeviceNodes {
		if !filepath.IsAbs(n.Path) || n.HostPath != "" && !filepath.IsAbs(n.HostPath) {
			return fmt.Errorf("deviceNodes: %q is no absolute path", n.Path)
		}
		if strings.Trim(n.Permissions, "rwm") != "" || !slices.Contains([]string{"", "b", "c", "u", "p"}, n.Type) {
			return fmt.Errorf("deviceNodes: %s has permissions %q and type %q", n.Path, n.Permissions, n.Type)
		}
	}
	for _, m := range e.Mounts {
		if m.HostPath == "" || !filepath.IsAbs(m.ContainerPath) {
			return fmt.Errorf("mounts: %q on %q needs two paths", m.HostPath, m.ContainerPath)
		}
	}
	for _, h := range e.Hooks {
		if !slices.Contains(hookNames, h.Name) || !filepath.IsAbs(h.Path) {
			return fmt.Errorf("hooks: %q of %q is none of %s with an absolute path", h.Path, h.Name, strings.Join(hookNames, ", "))
		}
	}
	return nil
}

func (e *edits) add(out *cdi.Edits) {
	out.Env = append(out.Env, e.Env...)
	for _, n := range e.DeviceNodes {
		out.Nodes = append(out.Nodes, cdi.DeviceNode(n))
	}
	for _, m := range e.Mounts {
		out.Mounts = append(out.Mounts, cdi.Mount(m))
	}
	for _, h := range e.Hooks {
		out.Hooks = append(out.Hooks, cdi.Hook(h))
	}
	for _, gid := range e.GIDs {
		if gid != 0 && !slices.Contains(out.GIDs, gid) {
			out.GIDs = append(out.GIDs, gid)
		}
	}
	if len(e.NetDevices) > 0 && !slices.Contains(out.Unsupported, "netDevices") {
		out.Unsupported = append(out.Unsupported, "netDevices")
	}
	if !e.IntelRdt.IsZero() && !slices.Contains(out.Unsupported, "intelRdt") {
		out.Unsupported = append(out.Unsupported, "intelRdt")
	}
}

// Names lists all devices. An error tells of files that could not be read, and
// the names are those of the others.
func Names(dirs []string) ([]string, error) {
	specs, faults := load(dirs)
	var names []string
	for _, s := range specs {
		for _, d := range s.Devices {
			names = append(names, s.Kind+"="+d.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(faults...)
}
