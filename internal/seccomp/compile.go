// SPDX-License-Identifier: Apache-2.0

// Package seccomp turns the seccomp section of an OCI specification into the
// BPF program that seccomp(2) loads, holds unitc's own default profile as data,
// and reads profiles in Docker's form.
//
// The rules mean what they mean to libseccomp as runc and crun drive it, for
// profiles are written and tested there:
//
//   - A rule without arguments decides its call alone, whatever rules with
//     arguments say; of several such rules the first counts.
//   - Of the rules with arguments any that matches is enough. If two that do
//     have different actions, order.go says which counts. All arguments of a
//     rule must match, save that a rule which compares one argument twice is
//     as many rules.
//   - A rule whose action is the default one is dropped.
//   - On narrow ABIs (i386, x32, arm) only the low 32 bits are compared.
//   - Names without a number are ignored, and returned for the operator to see.
//
// It is stricter in three points. A call through an ABI that the profile does
// not name kills the process, not the thread. A default of ERRNO answers ENOSYS
// to calls newer than any the profile names, as runc does, so that a C library
// newer than the profile falls back. And what socketcall(2) and ipc(2) hide
// from a filter is never allowed on the strength of an argument (mux.go).
//
// Nothing here may do I/O, start goroutines or have package-level state that
// costs start-up: the launch helper links it.
package seccomp

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
)

// maxInstructions is the kernel's bound for one program (BPF_MAXINSNS).
const maxInstructions = 4096

// Program is a filter ready for seccomp(2).
type Program struct {
	// Filter is never empty.
	Filter []unix.SockFilter
	// Flags is the second argument of seccomp(SECCOMP_SET_MODE_FILTER, …).
	// With SECCOMP_FILTER_FLAG_NEW_LISTENER in it, which a rule with
	// SCMP_ACT_NOTIFY brings, the call returns a descriptor for the agent at
	// ListenerPath; until that answers, calls with such a rule block, those
	// that hand the descriptor over included.
	Flags uint32
	// Unknown are the profile's names that no architecture has, as written
	// and in order: newer than this program, or misspelt.
	Unknown []string
}

// Listens tells whether loading the program returns a listener descriptor.
func (p *Program) Listens() bool { return p.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// Fprog is the program in the form that the kernel takes. It points into
// Filter, which must be kept alive until the call returns.
func (p *Program) Fprog() unix.SockFprog {
	return unix.SockFprog{Len: uint16(len(p.Filter)), Filter: &p.Filter[0]}
}

// Compile makes the program for a kernel whose native audit architecture is
// given, normally Native. The same input gives the same bytes. The error
// carries every fault of the profile, one a line.
func Compile(spec *specs.LinuxSeccomp, native uint32) (*Program, error) {
	if p := cached(spec, native); p != nil && !protection.Off("native-calls") {
		return p, nil
	}
	return compile(spec, native)
}

func compile(spec *specs.LinuxSeccomp, native uint32) (*Program, error) {
	p, faults := readProfile(spec)
	selected, archFaults := selectABIs(spec.Architectures, native)
	faults = append(faults, archFaults...)
	if spec.ListenerPath == "" {
		if spec.ListenerMetadata != "" {
			faults = append(faults, errors.New("listenerMetadata: set without listenerPath"))
		}
		if p.flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 {
			faults = append(faults, errors.New("SCMP_ACT_NOTIFY: no agent is named; set listenerPath"))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	filter := p.assemble(selected)
	if len(filter) > maxInstructions {
		return nil, fmt.Errorf("profile makes %d instructions, the kernel takes %d", len(filter), maxInstructions)
	}
	return &Program{Filter: filter, Flags: p.flags, Unknown: p.unknown}, nil
}

// assemble dispatches on the architecture, the native one first. It works
// backwards, as the assembler does.
func (p *profile) assemble(selected []abi) []unix.SockFilter {
	a := newAssembler()
	foreign := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	if protection.Off("native-calls") {
		foreign = unix.SECCOMP_RET_ALLOW
	}
	next := a.ret(foreign)
	for end := len(selected); end > 0; {
		start := end - 1
		for start > 0 && selected[start-1].audit == selected[end-1].audit {
			start--
		}
		tree := a.follow(opLoad, offsetNr, a.search(p.spans(a, selected[start:end]), 1<<32))
		next = a.branch(opJEQ, selected[start].audit, tree, next)
		end = start
	}
	a.follow(opLoad, offsetArch, next)
	return a.program()
}
