// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"os"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultBounding is the planner's default set (internal/planner/defaults.go).
var defaultBounding = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID",
}

// What is in the binary is what the compiler makes of the default profile.
func TestCachedProgram(t *testing.T) {
	for name, arch := range map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64} {
		spec := Default(Options{Arch: arch, Bounding: defaultBounding})
		p, err := compile(spec, arch)
		if err != nil || len(p.Unknown) > 0 {
			t.Fatal(err, p)
		}
		code, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		want := profileText(spec, 0) + "\x00" + string(code)
		file := "default-" + name + ".bin"
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s is another program's: go test ./internal/seccomp -run TestCachedProgram -update", file)
		}
		if arch == Native && !*update {
			if hit := cached(spec, arch); hit == nil || !reflect.DeepEqual(hit.Filter, p.Filter) || hit.Flags != p.Flags {
				t.Error("the default profile is compiled, or is another program")
			}
		}
	}
}

// longest is the rule with the most names.
func longest(s *specs.LinuxSeccomp) *specs.LinuxSyscall {
	most := &s.Syscalls[0]
	for i := range s.Syscalls {
		if len(s.Syscalls[i].Names) > len(most.Names) {
			most = &s.Syscalls[i]
		}
	}
	return most
}

// A profile that differs in anything is compiled.
func TestCacheIsMissed(t *testing.T) {
	one := uint(1)
	for name, change := range map[string]func(*specs.LinuxSeccomp){
		"action":        func(s *specs.LinuxSeccomp) { s.DefaultAction = specs.ActAllow },
		"errno":         func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = &one },
		"no errno":      func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = nil },
		"architecture":  func(s *specs.LinuxSeccomp) { s.Architectures = append(s.Architectures, specs.ArchX86) },
		"flag":          func(s *specs.LinuxSeccomp) { s.Flags = nil },
		"a name less":   func(s *specs.LinuxSeccomp) { longest(s).Names = longest(s).Names[1:] },
		"a name more":   func(s *specs.LinuxSeccomp) { longest(s).Names = append(longest(s).Names, "bpf") },
		"another name":  func(s *specs.LinuxSeccomp) { longest(s).Names[3] = "bpf" },
		"a rule less":   func(s *specs.LinuxSeccomp) { s.Syscalls = s.Syscalls[1:] },
		"a rule's ways": func(s *specs.LinuxSeccomp) { longest(s).Action = specs.ActLog },
		"a rule's errno": func(s *specs.LinuxSeccomp) {
			for i := range s.Syscalls {
				s.Syscalls[i].ErrnoRet = &one
			}
		},
		"an argument": func(s *specs.LinuxSeccomp) {
			for i := range s.Syscalls {
				for j := range s.Syscalls[i].Args {
					s.Syscalls[i].Args[j].Value++
				}
			}
		},
		"an agent": func(s *specs.LinuxSeccomp) { s.ListenerPath = "/agent" },
	} {
		spec := Default(Options{Arch: Native, Bounding: defaultBounding})
		if defaultProgram != "" && cached(spec, Native) == nil {
			t.Fatal("the default itself is missed")
		}
		change(spec)
		if cached(spec, Native) != nil {
			t.Errorf("%s: the default's program is given", name)
		}
	}
	if cached(Default(Options{Arch: Native, Bounding: defaultBounding}), Native+1) != nil {
		t.Error("another architecture has the program")
	}
}
