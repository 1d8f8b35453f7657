// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var allOperators = []specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
	specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
}

// TestOperators tries each operator with values whose halves matter.
func TestOperators(t *testing.T) {
	var numbers []uint32 // those of ioctl and its neighbours
	for _, nr := range []uint32{16, 29, 54, x32Bit + 514} {
		numbers = append(numbers, nr-1, nr, nr+1)
	}
	for _, op := range allOperators {
		for _, value := range []uint64{0, 1, 0x5412, math.MaxUint32, 1 << 32, 0x1_0000_5412, 0x8000_0000_0000_0001, math.MaxUint64 - 1, math.MaxUint64} {
			for _, two := range []uint64{0, value, 0xf0f0_f0f0_f0f0_f0f0} {
				spec := &specs.LinuxSeccomp{
					DefaultAction: specs.ActErrno,
					Architectures: everyArch,
					Syscalls:      []specs.LinuxSyscall{rule(specs.ActAllow, "ioctl", arg(1, op, value, two))},
				}
				for _, native := range natives {
					compareNumbers(t, spec, native, 0, numbers)
				}
			}
		}
	}
}

// TestCombinations tries the ways in which rules of one call meet.
func TestCombinations(t *testing.T) {
	for name, calls := range map[string][]specs.LinuxSyscall{
		"and of three arguments": {rule(specs.ActAllow, "socket",
			arg(0, specs.OpEqualTo, 16), arg(1, specs.OpNotEqual, 3), arg(2, specs.OpLessThan, 1<<33))},
		"or of rules": {
			rule(specs.ActAllow, "socket", arg(0, specs.OpEqualTo, 1)),
			rule(specs.ActAllow, "socket", arg(0, specs.OpEqualTo, 2)),
			rule(specs.ActAllow, "socket", arg(0, specs.OpEqualTo, 16), arg(2, specs.OpEqualTo, 0)),
		},
		"one argument twice": {rule(specs.ActAllow, "socket",
			arg(0, specs.OpEqualTo, 1), arg(0, specs.OpEqualTo, 2), arg(2, specs.OpEqualTo, 7))},
		"masks of all kinds": {
			rule(specs.ActAllow, "clone", arg(0, specs.OpMaskedEqual, 0x7e020000, 0)),
			rule(specs.ActTrap, "clone", arg(0, specs.OpMaskedEqual, 0x10000000, 0x10000000)),
			rule(specs.ActLog, "clone", arg(0, specs.OpMaskedEqual, 0xff00000000ff, 0x120000000034)),
			rule(specs.ActKill, "clone", arg(0, specs.OpMaskedEqual, 0, 5)),
		},
		"a rule without arguments, last":  {rule(specs.ActTrap, "ioctl", arg(1, specs.OpEqualTo, 1)), rule(specs.ActAllow, "ioctl")},
		"a rule without arguments, first": {rule(specs.ActAllow, "ioctl"), rule(specs.ActTrap, "ioctl", arg(1, specs.OpEqualTo, 1))},
		"the default action before another": {
			rule(specs.ActErrno, "ioctl", arg(1, specs.OpEqualTo, 1)),
			rule(specs.ActAllow, "ioctl", arg(1, specs.OpLessThan, 9)),
		},
		"rules that overlap": {
			rule(specs.ActTrap, "personality", arg(0, specs.OpGreaterThan, 7)),
			rule(specs.ActAllow, "personality", arg(0, specs.OpGreaterEqual, 3)),
			rule(specs.ActLog, "personality", arg(0, specs.OpGreaterEqual, 0)),
			rule(specs.ActKill, "personality", arg(0, specs.OpEqualTo, 1)),
		},
		"names of many architectures": {rule(specs.ActAllow, "set_tls cacheflush socketcall mmap2 execve rt_sigaction open openat uretprobe")},
		"sockets behind one call":     {rule(specs.ActAllow, "socket bind semop shmget send"), rule(specs.ActTrap, "connect", arg(0, specs.OpEqualTo, 1))},
		"nothing":                     {},
	} {
		t.Run(name, func(t *testing.T) {
			for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKillProcess, specs.ActLog} {
				for _, archs := range [][]specs.Arch{nil, everyArch} {
					for _, native := range natives {
						spec := &specs.LinuxSeccomp{DefaultAction: action, Architectures: archs, Syscalls: calls}
						compareAll(t, spec, native, 300)
					}
				}
			}
		})
	}
}

// TestFar makes a program so long that no conditional jump reaches across.
func TestFar(t *testing.T) {
	spec := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: everyArch}
	for i := range uint64(24) {
		for _, name := range []string{"ioctl", "prctl", "fcntl", "socket", "openat", "clone"} {
			spec.Syscalls = append(spec.Syscalls,
				rule(specs.ActAllow, name, arg(0, specs.OpEqualTo, i*i<<28), arg(2, specs.OpGreaterThan, i)),
				rule(specs.ActTrap, name, arg(1, specs.OpMaskedEqual, 0xff<<i, i<<i)))
		}
	}
	for i, row := range syscallTable {
		if i%2 == 0 && row.name > "d" {
			s := rule(specs.ActErrno, row.name)
			s.ErrnoRet = uintp(uint(i))
			spec.Syscalls = append(spec.Syscalls, s)
		}
	}
	for _, native := range natives[:2] {
		compareAll(t, spec, native, 20)
	}
	program, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	jumps := slices.ContainsFunc(program.Filter, func(in unix.SockFilter) bool { return in.Code == opJump })
	if !jumps || len(program.Filter) < 1000 {
		t.Errorf("%d instructions, long jumps %v: the test no longer tests what it says", len(program.Filter), jumps)
	}
}

// TestTooLong: a profile beyond the kernel's bound is an error, not a crash at
// load time.
func TestTooLong(t *testing.T) {
	spec := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range uint64(2500) {
		spec.Syscalls = append(spec.Syscalls, rule(specs.ActAllow, "ioctl", arg(uint(i%6), specs.OpEqualTo, i*7<<30)))
	}
	_, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
	if err == nil || !strings.Contains(err.Error(), "the kernel takes 4096") {
		t.Errorf("got %v", err)
	}
}

// TestSame compiles twice and expects the same bytes.
func TestSame(t *testing.T) {
	for _, native := range natives {
		spec := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: everyArch, Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, "read write close openat mmap futex clone3 set_tls"),
			rule(specs.ActTrap, "socket", arg(0, specs.OpEqualTo, 1)),
		}}
		first, err := Compile(spec, native)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			again, err := Compile(spec, native)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(first.Filter, again.Filter) {
				t.Fatalf("architecture %#x: two programs of one profile", native)
			}
		}
	}
}

// TestNewerCalls: a profile's end is where ENOSYS begins, and only where the
// default would mislead a C library into giving up.
func TestNewerCalls(t *testing.T) {
	calls := []specs.LinuxSyscall{rule(specs.ActAllow, "read openat2"), rule(specs.ActAllow, "newer_than_this_program")}
	enosys := unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for _, c := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		nr     uint32
		want   uint32
	}{
		{specs.ActErrno, nil, 437, unix.SECCOMP_RET_ALLOW},                                          // openat2 itself
		{specs.ActErrno, nil, 436, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},                     // close_range, older
		{specs.ActErrno, nil, 438, enosys},                                                          // pidfd_getfd
		{specs.ActErrno, nil, 9999, enosys},                                                         // of the future
		{specs.ActErrno, uintp(uint(unix.EACCES)), 9999, enosys},                                    // whatever the errno
		{specs.ActErrno, uintp(uint(unix.EACCES)), 3, unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)}, // close, older
		{specs.ActErrno, nil, math.MaxUint32, enosys},                                               // syscall(-1)
		{specs.ActKillProcess, nil, 9999, unix.SECCOMP_RET_KILL_PROCESS},
		{specs.ActTrap, nil, 9999, unix.SECCOMP_RET_TRAP},
		{specs.ActLog, nil, 9999, unix.SECCOMP_RET_LOG},
		{specs.ActTrace, nil, 9999, unix.SECCOMP_RET_TRACE | 1},
	} {
		spec := &specs.LinuxSeccomp{DefaultAction: c.action, DefaultErrnoRet: c.errno, Syscalls: calls}
		program, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := run(program.Filter, call{arch: unix.AUDIT_ARCH_X86_64, nr: c.nr})
		if got != c.want {
			t.Errorf("%s, number %d: got %#x, want %#x", c.action, c.nr, got, c.want)
		}
		if want := []string{"newer_than_this_program"}; !slices.Equal(program.Unknown, want) {
			t.Errorf("unknown names: got %q, want %q", program.Unknown, want)
		}
	}
}

// TestFlags: what seccomp(2) is to be told, and what it would refuse is not.
func TestFlags(t *testing.T) {
	const all = "SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
	for _, c := range []struct {
		flags  string
		action specs.LinuxSeccompAction
		want   uint32
	}{
		{"", specs.ActAllow, 0},
		{"", specs.ActNotify, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{all, specs.ActAllow, unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{all, specs.ActNotify, unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW |
			unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH},
	} {
		spec := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/run/agent", Syscalls: []specs.LinuxSyscall{rule(c.action, "mount")}}
		for _, flag := range strings.Fields(c.flags) {
			spec.Flags = append(spec.Flags, specs.LinuxSeccompFlag(flag))
		}
		program, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
		if err != nil {
			t.Fatal(err)
		}
		if program.Flags != c.want {
			t.Errorf("%q with %s: got %#x, want %#x", c.flags, c.action, program.Flags, c.want)
		}
		if program.Listens() != (c.action == specs.ActNotify) {
			t.Errorf("%s: listens %v", c.action, program.Listens())
		}
	}
}

// TestFaults: all that is wrong is said at once, with its place.
func TestFaults(t *testing.T) {
	spec := &specs.LinuxSeccomp{
		DefaultAction:    "SCMP_ACT_DENY",
		Architectures:    []specs.Arch{specs.ArchX86_64, "SCMP_ARCH_Z80"},
		Flags:            []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NONE"},
		ListenerMetadata: "x",
		Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, ""),
			{Names: []string{""}, Action: specs.ActAllow},
			{Names: []string{"read"}},
			{Names: []string{"read"}, Action: specs.ActAllow, ErrnoRet: uintp(1)},
			{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: uintp(4096)},
			{Names: []string{"read"}, Action: specs.ActTrace, ErrnoRet: uintp(65536)},
			rule(specs.ActAllow, "read", arg(6, specs.OpEqualTo, 0)),
			rule(specs.ActAllow, "read", arg(0, specs.OpEqualTo, 0), arg(1, "SCMP_CMP_IN", 0)),
		},
	}
	_, err := Compile(spec, 0x1234)
	want := `defaultAction: unknown action "SCMP_ACT_DENY"
syscalls[0]: names: empty, at least one is needed
syscalls[1]: names: empty name
syscalls[2]: no action
syscalls[3]: SCMP_ACT_ALLOW takes no errno, 1 is given
syscalls[4]: SCMP_ACT_ERRNO: errno 4096 is above 4095
syscalls[5]: SCMP_ACT_TRACE: errno 65536 is above 65535
syscalls[6]: args[0]: index 6: a system call has arguments 0 to 5
syscalls[7]: args[1]: unknown operator "SCMP_CMP_IN"
flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NONE"
architectures[1]: unknown architecture "SCMP_ARCH_Z80"
audit architecture 0x1234: no system call table
listenerMetadata: set without listenerPath`
	if fmt.Sprint(err) != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	unheard := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{rule(specs.ActNotify, "mount")}}
	if _, err := Compile(unheard, unix.AUDIT_ARCH_X86_64); fmt.Sprint(err) != "SCMP_ACT_NOTIFY: no agent is named; set listenerPath" {
		t.Errorf("got %v", err)
	}
	for action, want := range map[specs.LinuxSeccompAction]string{
		"":              "defaultAction: no action",
		specs.ActNotify: "defaultAction: SCMP_ACT_NOTIFY: the payload would wait before its start for a listener; name single calls",
	} {
		if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: action}, Native); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
