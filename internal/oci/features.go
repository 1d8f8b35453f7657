// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/runtime"
	"github.com/unitc/unitc/internal/seccomp"
)

func printFeatures(c *call) error { return c.printJSON(Features(), "    ") }

// Features is what the code can do, asked of the code: its tables, and its
// compiler of seccomp profiles.
func Features() *features.Features {
	yes, no := true, false
	modes, flags := runtime.MemoryPolicies()
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  runtime.MountOptions(),
		Linux: &features.Linux{
			Namespaces:      runtime.Namespaces(),
			Capabilities:    runtime.Capabilities(),
			Cgroup:          &features.Cgroup{V1: &no, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Seccomp:         seccompFeatures(),
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: modes, Flags: flags},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
		Annotations: map[string]string{"com.github.unitc.version": buildinfo.Version},
		// With it root.path may be missing until the helper mounts it.
		PotentiallyUnsafeConfigAnnotations: []string{plan.RootAnnotation},
	}
}

// seccompFeatures tries every word of the specification on the compiler.
func seccompFeatures() *features.Seccomp {
	yes := true
	f := &features.Seccomp{Enabled: &yes}
	compiles := func(p specs.LinuxSeccomp) bool {
		_, err := seccomp.Compile(&p, seccomp.Native)
		return err == nil
	}
	rule := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSeccomp {
		return specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"getpid"}, Action: action, Args: args}}}
	}
	for _, a := range []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno, specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify} {
		p := rule(a)
		if a == specs.ActNotify {
			p.ListenerPath = "/agent"
		}
		if compiles(p) {
			f.Actions = append(f.Actions, string(a))
		}
	}
	for _, o := range []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual} {
		if compiles(rule(specs.ActAllow, specs.LinuxSeccompArg{Op: o})) {
			f.Operators = append(f.Operators, string(o))
		}
	}
	for _, a := range []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32,
		specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	} {
		p := rule(specs.ActAllow)
		p.Architectures = []specs.Arch{a}
		if compiles(p) {
			f.Archs = append(f.Archs, string(a))
		}
	}
	for _, flag := range []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv} {
		// With a listener, or the compiler would leave a flag out that is for one.
		p := rule(specs.ActNotify)
		p.ListenerPath, p.Flags = "/agent", []specs.LinuxSeccompFlag{flag}
		program, err := seccomp.Compile(&p, seccomp.Native)
		if err != nil {
			continue
		}
		f.KnownFlags = append(f.KnownFlags, string(flag))
		if kernelKnows(program.Flags) {
			f.SupportedFlags = append(f.SupportedFlags, string(flag))
		}
	}
	return f
}

// kernelKnows asks for a filter that is nowhere: the kernel looks at the flags
// first (kernel/seccomp.c, seccomp_set_mode_filter), and says EINVAL to one that
// it does not know.
func kernelKnows(flags uint32) bool {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), 0)
	return errno == unix.EFAULT
}
