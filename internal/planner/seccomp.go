// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/seccomp"
)

// SeccompFile is the profile that `security_opt: [seccomp=FILE]` names, "" =
// the default or none; the helper reads it into Facts.
func SeccompFile(s *definition.Service) string {
	if v, ok := securityOption(s, "seccomp"); ok && v != "unconfined" && v != "builtin" {
		return v
	}
	return ""
}

// securityOption gives the last value of an option.
func securityOption(s *definition.Service, name string) (value string, ok bool) {
	for _, o := range s.SecurityOpt {
		if n, v := splitOption(o); n == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// filter puts the seccomp profile into the plan: the default one, matched to
// the capabilities, unless the definition names another or none.
func (b *builder) filter() error {
	bounding := b.spec.Process.Capabilities.Bounding
	v, named := securityOption(b.s, "seccomp")
	switch {
	case v == "unconfined" || (b.s.Privileged && !named):
		return nil
	case b.f.Seccomp != nil:
		b.spec.Linux.Seccomp = b.f.Seccomp.Resolve(seccomp.Host{Arch: seccomp.Native, Bounding: slices.Clone(bounding), Kernel: b.f.Kernel})
		return nil
	case named && v != "builtin":
		return &KeyError{"security_opt", "the seccomp profile " + v + " was not read", "write the path of a readable JSON file, `seccomp=unconfined` or `seccomp=builtin`"}
	}
	b.spec.Linux.Seccomp = seccomp.Default(seccomp.Options{Arch: seccomp.Native, Bounding: bounding})
	return nil
}
