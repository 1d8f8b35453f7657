// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	maxArgs   = 6
	maxErrno  = 4095 // the kernel clamps what is above (kernel/seccomp.c, MAX_ERRNO)
	retENOSYS = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// entry is one of the profile's syscalls, checked. Without conditions it
// decides alone; otherwise any of its rules is enough, and a rule needs all
// of its conditions.
type entry struct {
	ret   uint32
	rules [][]specs.LinuxSeccompArg
	names []*syscallRow
}

// profile is a specs.LinuxSeccomp in numbers.
type profile struct {
	ret     uint32 // of a call that no rule matches
	entries []entry
	flags   uint32
	unknown []string
}

// readProfile checks all of spec and gives every fault at once.
func readProfile(spec *specs.LinuxSeccomp) (*profile, []error) {
	p, faults := &profile{}, []error(nil)
	ret, err := returnValue(spec.DefaultAction, spec.DefaultErrnoRet)
	switch {
	case err != nil:
		faults = append(faults, fmt.Errorf("defaultAction: %w", err))
	case ret == unix.SECCOMP_RET_USER_NOTIF:
		// The calls that hand the listener over would wait for its answer.
		faults = append(faults, fmt.Errorf("defaultAction: %s: the payload would wait before its start for a listener; name single calls", spec.DefaultAction))
	}
	p.ret = ret
	p.entries = make([]entry, 0, len(spec.Syscalls))
	for i := range spec.Syscalls {
		e, err := p.readEntry(&spec.Syscalls[i])
		if err != nil {
			faults = append(faults, fmt.Errorf("syscalls[%d]: %w", i, err))
			continue
		}
		p.entries = append(p.entries, e)
	}
	p.flags, err = readFlags(spec.Flags, p.entries)
	if err != nil {
		faults = append(faults, err)
	}
	return p, faults
}

func (p *profile) readEntry(call *specs.LinuxSyscall) (entry, error) {
	e := entry{names: make([]*syscallRow, 0, len(call.Names))}
	var err error
	if e.ret, err = returnValue(call.Action, call.ErrnoRet); err != nil {
		return e, err
	}
	if len(call.Names) == 0 {
		return e, errors.New("names: empty, at least one is needed")
	}
	for _, name := range call.Names {
		if name == "" {
			return e, errors.New("names: empty name")
		}
		if row := findSyscall(name); row != nil {
			e.names = append(e.names, row)
		} else {
			p.unknown = append(p.unknown, name)
		}
	}
	for i, arg := range call.Args {
		if err := checkArg(arg); err != nil {
			return e, fmt.Errorf("args[%d]: %w", i, err)
		}
	}
	e.rules = splitArgs(call.Args)
	return e, nil
}

func checkArg(arg specs.LinuxSeccompArg) error {
	if arg.Index >= maxArgs {
		return fmt.Errorf("index %d: a system call has arguments 0 to %d", arg.Index, maxArgs-1)
	}
	switch arg.Op {
	case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		return nil
	}
	return fmt.Errorf("unknown operator %q", arg.Op)
}

// splitArgs makes one rule of arguments that are all to match, and one rule of
// each where two compare the same argument: libseccomp has no conjunction for
// these, and profiles are written for what runc and crun make of it.
func splitArgs(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	if len(args) == 0 {
		return nil
	}
	seen := 0
	for _, arg := range args {
		if seen&(1<<arg.Index) != 0 {
			rules := make([][]specs.LinuxSeccompArg, len(args))
			for i := range args {
				rules[i] = args[i : i+1]
			}
			return rules
		}
		seen |= 1 << arg.Index
	}
	return [][]specs.LinuxSeccompArg{args}
}

// returnValue is what the filter returns for an action (seccomp(2)).
func returnValue(action specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	data, limit := uint32(unix.EPERM), uint(0)
	ret := uint32(0)
	switch action {
	case specs.ActErrno:
		ret, limit = unix.SECCOMP_RET_ERRNO, maxErrno
	case specs.ActTrace:
		ret, limit = unix.SECCOMP_RET_TRACE, unix.SECCOMP_RET_DATA
	case specs.ActKill, specs.ActKillThread:
		ret = unix.SECCOMP_RET_KILL_THREAD
	case specs.ActKillProcess:
		ret = unix.SECCOMP_RET_KILL_PROCESS
	case specs.ActTrap:
		ret = unix.SECCOMP_RET_TRAP
	case specs.ActAllow:
		ret = unix.SECCOMP_RET_ALLOW
	case specs.ActLog:
		ret = unix.SECCOMP_RET_LOG
	case specs.ActNotify:
		ret = unix.SECCOMP_RET_USER_NOTIF
	case "":
		return 0, errors.New("no action")
	default:
		return 0, fmt.Errorf("unknown action %q", action)
	}
	switch {
	case limit == 0 && errnoRet != nil:
		return 0, fmt.Errorf("%s takes no errno, %d is given", action, *errnoRet)
	case limit == 0:
		return ret, nil
	case errnoRet == nil:
		return ret | data, nil
	case *errnoRet > limit:
		return 0, fmt.Errorf("%s: errno %d is above %d", action, *errnoRet, limit)
	}
	return ret | uint32(*errnoRet), nil
}

// flagTSync is in the runtime-spec's text, though not among its constants.
const flagTSync specs.LinuxSeccompFlag = "SECCOMP_FILTER_FLAG_TSYNC"

// readFlags gives the flags for seccomp(2), that of a listener included.
func readFlags(names []specs.LinuxSeccompFlag, entries []entry) (uint32, error) {
	flags := uint32(0)
	for i, name := range names {
		switch name {
		case flagTSync:
			flags |= unix.SECCOMP_FILTER_FLAG_TSYNC
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		default:
			return 0, fmt.Errorf("flags[%d]: unknown flag %q", i, name)
		}
	}
	for i := range entries {
		if entries[i].ret == unix.SECCOMP_RET_USER_NOTIF {
			flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		}
	}
	const tsyncListener = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	switch {
	case flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0:
		// EINVAL without a listener (kernel/seccomp.c, seccomp_set_mode_filter).
		flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	case flags&tsyncListener == tsyncListener:
		// Both return a number, so the kernel wants this word on which (5.7).
		flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	return flags, nil
}
