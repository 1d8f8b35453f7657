// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
)

// SELinux are the contexts of containers that the host's policy names
// (lxc_contexts(5)): "system_u:system_r:container_t:s0" and
// "system_u:object_r:container_file_t:s0".
type SELinux struct {
	Process, File string
	// Loaded says that the kernel has a policy that knows both.
	Loaded bool
}

// WantsLabels tells whether the helper has to look for Facts.SELinux.
func WantsLabels(s *definition.Service) bool {
	if s.Bundle != "" {
		return false
	}
	if labelledByDefault(s) {
		return true
	}
	for _, o := range s.SecurityOpt {
		if name, value := splitOption(o); name == "label" && value != "disable" {
			return true
		}
	}
	return false
}

// labelledByDefault: a label would keep a payload from the host's processes and
// memory that it is to see, as Podman and Docker know too.
func labelledByDefault(s *definition.Service) bool {
	for _, o := range s.SecurityOpt {
		if name, value := splitOption(o); name == "label" && value == "disable" {
			return false
		}
	}
	return !s.Privileged && s.PID != "host" && s.IPC != "host"
}

// defaultLabel is what a container has where the host's policy is one for
// containers.
func (b *builder) defaultLabel() {
	if b.f.SELinux != nil && b.f.SELinux.Loaded && labelledByDefault(b.s) {
		b.ownLabel()
	}
}

func (b *builder) ownLabel() {
	level := b.f.Joined.Level
	if level == "" {
		level = "s0:" + b.categories()
	}
	b.spec.Process.SelinuxLabel = withPart(b.f.SELinux.Process, 3, level)
	b.spec.Linux.MountLabel = withPart(b.f.SELinux.File, 3, level)
}

// ContainerLevel is the level of a container's label, "" of another process's:
// that has no categories, or a range of them.
func ContainerLevel(label string) string {
	parts := strings.SplitN(label, ":", 4)
	if len(parts) < 4 || !strings.Contains(parts[3], ":") || strings.Contains(parts[3], "-") {
		return ""
	}
	return parts[3]
}

// label carries out one `label=` entry, in Docker's words. Each changes a part
// of the host's contexts for containers.
func (b *builder) label(key, value string) error {
	if value == "disable" {
		b.spec.Process.SelinuxLabel, b.spec.Linux.MountLabel = "", ""
		return nil
	}
	part, name, ok := strings.Cut(strings.Replace(value, "=", ":", 1), ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\n\"") {
		return &KeyError{key, fmt.Sprintf("unknown label %q", value), "write label=type:NAME, level:LEVEL, user:NAME, role:NAME, filetype:NAME or disable"}
	}
	if b.f.SELinux == nil {
		return &KeyError{key, "this host runs without SELinux", "drop the entry, or boot with SELinux"}
	}
	if b.spec.Process.SelinuxLabel == "" {
		if strings.Count(b.f.SELinux.Process, ":") < 3 || strings.Count(b.f.SELinux.File, ":") < 3 {
			return &KeyError{key, "the host's SELinux policy names no contexts for containers (/etc/selinux/*/contexts/lxc_contexts)", "install container-selinux, or drop the entry"}
		}
		b.ownLabel()
	}
	process, mount := &b.spec.Process.SelinuxLabel, &b.spec.Linux.MountLabel
	switch part {
	case "user":
		*process = withPart(*process, 0, name)
	case "role":
		*process = withPart(*process, 1, name)
	case "type":
		*process = withPart(*process, 2, name)
	case "filetype":
		*mount = withPart(*mount, 2, name)
	case "level":
		*process, *mount = withPart(*process, 3, name), withPart(*mount, 3, name)
	default:
		return &KeyError{key, fmt.Sprintf("unknown part %q of a label", part), "write type, level, user, role or filetype"}
	}
	return nil
}

// withPart changes a part of "user:role:type:level"; a level has colons itself.
func withPart(context string, i int, value string) string {
	parts := strings.SplitN(context, ":", 4)
	parts[i] = value
	return strings.Join(parts, ":")
}

// categories are two of the 1,024 that keep containers of one type apart: the
// same for a unit at each start, and another's for each range of ids.
func (b *builder) categories() string {
	n := b.f.IDStart / idrange.Size
	if n == 0 { // the host's ids
		h := fnv.New32a()
		h.Write([]byte(b.plan.Unit))
		n = h.Sum32()
	}
	// The pairs c1 < c2 in a row: n is the number of one of 523,776.
	n %= 1024 * 1023 / 2
	high := uint32(1)
	for n >= high {
		n -= high
		high++
	}
	return fmt.Sprintf("c%d,c%d", n, high)
}

// relabelling says which sources of bind mounts get labels: those of `z` and `Z`
// at each start, and, as Podman has it, named volumes when they have none of a
// container's yet. What unitc itself makes for the container is the container's.
func (b *builder) relabelling() error {
	label := b.spec.Linux.MountLabel
	if label == "" {
		return nil
	}
	shared := withPart(label, 3, "s0") // any container's
	for _, v := range Volumes(b.s, b.f.Image) {
		switch {
		case v.SELinux == "Z":
			put(&b.plan.Relabel, v.Target, label)
		case v.SELinux == "z":
			put(&b.plan.Relabel, v.Target, shared)
		case v.Type == definition.VolumeNamed:
			put(&b.plan.LabelNew, v.Target, shared)
		}
	}
	dir := NamesDir(b.plan.Unit)
	for _, m := range b.spec.Mounts {
		if strings.HasPrefix(m.Source, dir) && m.Type == "bind" {
			put(&b.plan.LabelNew, m.Destination, label)
		}
	}
	return nil
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}
