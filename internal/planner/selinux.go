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
type SELinux struct{ Process, File string }

// WantsLabels tells whether the helper has to look for Facts.SELinux.
func WantsLabels(s *definition.Service) bool {
	for _, o := range s.SecurityOpt {
		if name, value := splitOption(o); name == "label" && value != "disable" {
			return true
		}
	}
	return false
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
		level := "s0:" + b.categories()
		b.spec.Process.SelinuxLabel = withPart(b.f.SELinux.Process, 3, level)
		b.spec.Linux.MountLabel = withPart(b.f.SELinux.File, 3, level)
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

// relabelling is the label that `z` or `Z` gives to a volume's source.
func (b *builder) relabelling() {
	for _, v := range Volumes(b.s, b.f.Image) {
		label := b.spec.Linux.MountLabel
		if v.SELinux == "" || label == "" {
			continue
		}
		if v.SELinux == "z" {
			label = withPart(label, 3, "s0") // any container's
		}
		if b.plan.Relabel == nil {
			b.plan.Relabel = map[string]string{}
		}
		b.plan.Relabel[v.Target] = label
	}
}
