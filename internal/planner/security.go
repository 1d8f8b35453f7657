// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// splitOption cuts an entry of `security_opt`, written with "=" or, as Docker
// once had it, with ":". A name alone means "true".
func splitOption(o string) (name, value string) {
	i := strings.IndexAny(o, "=:")
	if i < 0 {
		return o, "true"
	}
	return o[:i], o[i+1:]
}

// AppArmorProfile is what a container gets where the host has it loaded
// (packaging/apparmor).
const AppArmorProfile = "unitc-default"

// WantsAppArmor tells whether the helper has to look for Facts.AppArmor.
func WantsAppArmor(s *definition.Service) bool {
	_, named := securityOption(s, "apparmor")
	return s.Bundle == "" && !s.Privileged && !named
}

// securityOptions carries out the options that are not read elsewhere, and
// refuses what it does not know: a protection that is asked for is never left
// away in silence.
func (b *builder) securityOptions() error {
	if b.f.AppArmor {
		b.spec.Process.ApparmorProfile = AppArmorProfile
	}
	b.defaultLabel()
	for i, o := range b.s.SecurityOpt {
		key := fmt.Sprintf("security_opt[%d]", i)
		name, value := splitOption(o)
		switch name {
		case "no-new-privileges":
			if value != "true" && value != "false" {
				return &KeyError{key, fmt.Sprintf("%q is neither true nor false", value), "write no-new-privileges=true or =false"}
			}
		case definition.WritableCgroups:
			if value != "true" && value != "false" {
				return &KeyError{key, fmt.Sprintf("%q is neither true nor false", value), "write " + name + "=true or =false"}
			}
			if value == "true" && b.s.Cgroup == "host" {
				return &KeyError{key, "with `cgroup: host` it would be the host's tree that the payload writes to", "drop `cgroup: host`"}
			}
			if value == "true" && b.f.Joined.User != "" {
				return &KeyError{key, "the user ids are another container's, and cgroups are given to one", "drop the entry, or `pid:` and `ipc:`"}
			}
			if value == "true" && b.s.Runtime != "" {
				return &KeyError{key, "another runtime is not given cgroups to divide", "drop `runtime:`, or the entry"}
			}
		case "seccomp": // filter
		case "apparmor":
			b.spec.Process.ApparmorProfile = value
			if value == "unconfined" {
				b.spec.Process.ApparmorProfile = ""
			}
		case "label":
			if err := b.label(key, value); err != nil {
				return err
			}
		case "landlock":
			if value != "unconfined" {
				return &KeyError{key, fmt.Sprintf("unknown value %q", value), "write landlock=unconfined, or drop the entry"}
			}
		case "systempaths":
			if value != "unconfined" {
				return &KeyError{key, fmt.Sprintf("unknown value %q", value), "write systempaths=unconfined, or drop the entry"}
			}
			b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
		case "mask":
			b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, pathList(value)...)
		case "unmask":
			b.unmask(pathList(value))
		default:
			return &KeyError{key, fmt.Sprintf("unknown option %q", name), "use no-new-privileges, seccomp, apparmor, label, landlock, mask, unmask, systempaths or " + definition.WritableCgroups}
		}
	}
	return nil
}

// writableCgroups tells whether the payload may make cgroups below its own. Podman's word
// for it is to unmask the place where they are.
func (b *builder) writableCgroups() bool {
	v, named := securityOption(b.s, definition.WritableCgroups)
	if named || b.s.Cgroup == "host" || b.s.Runtime != "" || b.f.Joined.User != "" {
		return v == "true"
	}
	return slices.ContainsFunc(b.s.SecurityOpt, func(o string) bool {
		name, value := splitOption(o)
		return name == "unmask" && slices.Contains(pathList(value), "/sys/fs/cgroup")
	})
}

func pathList(value string) []string {
	var list []string
	for _, p := range strings.Split(value, ":") {
		if p != "" {
			list = append(list, p)
		}
	}
	return list
}

// unmask takes paths, patterns of them, or ALL out of what is masked and
// read-only, as Podman does.
func (b *builder) unmask(patterns []string) {
	open := func(p string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, err := path.Match(pattern, p)
			return pattern == "ALL" || (err == nil && ok)
		})
	}
	b.spec.Linux.MaskedPaths = slices.DeleteFunc(b.spec.Linux.MaskedPaths, open)
	b.spec.Linux.ReadonlyPaths = slices.DeleteFunc(b.spec.Linux.ReadonlyPaths, open)
}
