// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Profile is a profile in Docker's form: an OCI one of which rules may depend
// on where it is used. What podman adds (errors by name) is read too.
type Profile struct {
	spec    specs.LinuxSeccomp // without the calls
	archMap []archMapEntry
	calls   []profileCall
}

type archMapEntry struct {
	arch specs.Arch
	subs []specs.Arch
}

type profileCall struct {
	specs.LinuxSyscall
	includes, excludes callFilter
}

// callFilter is the condition of a rule; an empty part of it always holds.
type callFilter struct {
	caps, arches []string
	minKernel    Kernel
}

// Kernel is a version of Linux: {6, 12}.
type Kernel struct{ Major, Minor uint }

// before compares two versions.
func (k Kernel) before(other Kernel) bool {
	return k.Major < other.Major || k.Major == other.Major && k.Minor < other.Minor
}

// Host is what a profile's rules may depend on.
type Host struct {
	// Arch is the native audit architecture, normally Native.
	Arch uint32
	// Bounding is the payload's bounding set (CAP_SYS_ADMIN, …).
	Bounding []string
	Kernel   Kernel
}

// Resolve gives the OCI profile for a host: the rules whose conditions hold,
// in their order. A rule stays out if any of what it excludes is there, or if
// not all of what it includes is.
func (p *Profile) Resolve(h Host) *specs.LinuxSeccomp {
	spec := p.spec
	spec.Architectures = slices.Clone(p.spec.Architectures)
	if all := abisOf(h.Arch); all != nil {
		for _, m := range p.archMap {
			if m.arch == all[0].arch {
				spec.Architectures = append(append(spec.Architectures, m.arch), m.subs...)
			}
		}
	}
	arch := dockerArch(h.Arch)
	for _, c := range p.calls {
		if c.includes.allHold(h, arch) && !c.excludes.anyHolds(h, arch) {
			spec.Syscalls = append(spec.Syscalls, c.LinuxSyscall)
		}
	}
	return &spec
}

func (f callFilter) allHold(h Host, arch string) bool {
	missing := func(c string) bool { return !slices.Contains(h.Bounding, c) }
	return (len(f.arches) == 0 || slices.Contains(f.arches, arch)) &&
		!slices.ContainsFunc(f.caps, missing) && !h.Kernel.before(f.minKernel)
}

func (f callFilter) anyHolds(h Host, arch string) bool {
	held := func(c string) bool { return slices.Contains(h.Bounding, c) }
	return slices.Contains(f.arches, arch) || slices.ContainsFunc(f.caps, held) ||
		f.minKernel != Kernel{} && !h.Kernel.before(f.minKernel)
}

// dockerArch is Docker's name for an architecture in includes and excludes.
func dockerArch(native uint32) string {
	switch native {
	case unix.AUDIT_ARCH_X86_64:
		return "amd64"
	case unix.AUDIT_ARCH_AARCH64:
		return "arm64"
	case unix.AUDIT_ARCH_I386:
		return "x86"
	case unix.AUDIT_ARCH_ARM:
		return "arm"
	}
	return ""
}

// dockerArches are all the names that stand in Docker's and podman's profiles.
var dockerArches = [...]string{
	"amd64", "arm", "arm64", "loong64", "loongarch64", "mips", "mips64", "mips64n32", "mipsel", "mipsel64", "mipsel64n32",
	"ppc", "ppc64", "ppc64le", "riscv64", "s390", "s390x", "x32", "x86",
}

// Fault is one thing wrong with a profile. Line and Col count from 1.
type Fault struct {
	Line, Col int
	Path      string // syscalls[3].args[0].op
	What      string
}

func (f Fault) String() string {
	if f.Path == "" {
		return fmt.Sprintf("%d:%d: %s", f.Line, f.Col, f.What)
	}
	return fmt.Sprintf("%d:%d: %s: %s", f.Line, f.Col, f.Path, f.What)
}

// ProfileError is all that is wrong with a profile, in the order of its text.
type ProfileError struct{ Faults []Fault }

func (e *ProfileError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
