// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files anew; those of libseccomp need gcc and libseccomp-dev")

// What libseccomp 2.6.0 makes of a profile is kept in testdata/libseccomp, so
// that ours is judged without it being installed.
const libseccompDir = "testdata/libseccomp"

// libseccompProfiles are compiled for amd64 by both.
func libseccompProfiles() map[string]*specs.LinuxSeccomp {
	enosys := uintp(uint(unix.ENOSYS))
	amd64 := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	operators := &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Architectures: amd64}
	for i, op := range allOperators {
		for j, value := range []uint64{0, 0x5412, math.MaxUint32, 1<<32 | 1, math.MaxUint64 - 1} {
			name := strings.Fields("read write ioctl fcntl prctl kill dup2")[i]
			operators.Syscalls = append(operators.Syscalls, rule(specs.ActAllow, name, arg(uint(j), op, value, value&0xffff00ff)))
		}
	}
	return map[string]*specs.LinuxSeccomp{
		"default":        Default(Options{Arch: unix.AUDIT_ARCH_X86_64}),
		"default-compat": Default(Options{Arch: unix.AUDIT_ARCH_X86_64, Compat32: true}),
		"default-admin":  Default(Options{Arch: unix.AUDIT_ARCH_X86_64, Bounding: []string{"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"}}),
		"operators":      operators,
		"conjunctions": {DefaultAction: specs.ActErrno, DefaultErrnoRet: enosys, Architectures: amd64, Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, "read fstat socketcall execve rt_sigaction ioctl"),
			rule(specs.ActAllow, "mmap", arg(2, specs.OpMaskedEqual, 4, 0), arg(3, specs.OpNotEqual, 1), arg(5, specs.OpLessThan, 1<<40)),
			rule(specs.ActAllow, "mprotect", arg(2, specs.OpLessEqual, 3), arg(1, specs.OpGreaterEqual, 4096)),
			rule(specs.ActAllow, "prctl", arg(0, specs.OpEqualTo, 15), arg(1, specs.OpGreaterThan, 1<<33|5)),
			rule(specs.ActAllow, "prctl", arg(0, specs.OpEqualTo, 16)),
			rule(specs.ActAllow, "kill", arg(0, specs.OpEqualTo, 1), arg(0, specs.OpEqualTo, 2), arg(1, specs.OpEqualTo, 9)),
		}},
		"precedence": {DefaultAction: specs.ActTrap, ListenerPath: "/run/agent", Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, "read"), rule(specs.ActLog, "read"),
			rule(specs.ActKill, "write", arg(0, specs.OpEqualTo, 2)), rule(specs.ActAllow, "write"),
			rule(specs.ActAllow, "close"), rule(specs.ActKill, "close", arg(0, specs.OpEqualTo, 2)),
			rule(specs.ActTrap, "dup", arg(0, specs.OpEqualTo, 2)), rule(specs.ActTrace, "dup", arg(0, specs.OpLessThan, 4)),
			rule(specs.ActNotify, "mount"), rule(specs.ActKillProcess, "reboot"),
		}},
		"overlaps": {DefaultAction: specs.ActTrap, Architectures: amd64, Syscalls: []specs.LinuxSyscall{
			rule(specs.ActErrno, "ioctl", arg(1, specs.OpGreaterEqual, 0)), rule(specs.ActAllow, "ioctl", arg(1, specs.OpMaskedEqual, math.MaxUint32, 7)),
			rule(specs.ActLog, "prctl", arg(0, specs.OpLessThan, 100)), rule(specs.ActAllow, "prctl", arg(0, specs.OpLessThan, 10)),
			rule(specs.ActErrno, "prctl", arg(0, specs.OpEqualTo, 5)),
			rule(specs.ActLog, "kill", arg(0, specs.OpEqualTo, 1)), rule(specs.ActAllow, "kill", arg(1, specs.OpEqualTo, 9)),
			rule(specs.ActErrno, "dup2", arg(0, specs.OpMaskedEqual, 0, 9)), rule(specs.ActAllow, "dup2", arg(0, specs.OpEqualTo, 9)),
			rule(specs.ActLog, "fcntl", arg(1, specs.OpGreaterThan, 3)), rule(specs.ActAllow, "fcntl", arg(1, specs.OpGreaterThan, 8)),
			rule(specs.ActLog, "mmap", arg(2, specs.OpEqualTo, 1)), rule(specs.ActAllow, "mmap", arg(2, specs.OpEqualTo, 1), arg(3, specs.OpEqualTo, 2)),
		}},
		"denials": {DefaultAction: specs.ActAllow, Architectures: amd64, Syscalls: []specs.LinuxSyscall{
			rule(specs.ActErrno, "mount umount2 ptrace setuid32 umount"),
			rule(specs.ActErrno, "ioctl", arg(1, specs.OpMaskedEqual, math.MaxUint32, 0x5412)),
			rule(specs.ActErrno, "personality", arg(0, specs.OpNotEqual, 0)),
		}},
		"multiplexed": {DefaultAction: specs.ActErrno, DefaultErrnoRet: enosys, Architectures: amd64, Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown"),
			rule(specs.ActTrap, "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"),
			rule(specs.ActAllow, "semop semget semctl semtimedop msgsnd msgrcv"),
			rule(specs.ActLog, "msgget msgctl shmat shmdt shmget shmctl"),
		}},
	}
}

// TestLibseccomp compares the decisions of the two programs over all numbers
// that libseccomp 2.6.0 knows, and those that nobody does.
func TestLibseccomp(t *testing.T) {
	if *update {
		updateLibseccomp(t)
	}
	known := libseccompNames(t)
	for name, spec := range libseccompProfiles() {
		t.Run(name, func(t *testing.T) {
			theirs := readFilter(t, filepath.Join(libseccompDir, name+".bpf"))
			ours, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
			if err != nil {
				t.Fatal(err)
			}
			compared := 0
			for _, b := range abisOf(unix.AUDIT_ARCH_X86_64) {
				names := namesOf(b)
				for _, nr := range numbersOf() {
					callName := names[nr]
					if b.audit == unix.AUDIT_ARCH_X86_64 && b.isX32() != (nr&x32Bit != 0) {
						continue // the other ABI of that architecture has its turn
					}
					if callName != "" && !known[b.arch][callName] {
						continue // newer than 2.6.0, which gives it the default
					}
					for _, args := range libseccompArgs(spec, callName) {
						c := call{arch: b.audit, nr: nr, args: args}
						want, _ := run(theirs, c)
						if got, _ := run(ours.Filter, c); got != want {
							t.Fatalf("%v (%s): got %#x, libseccomp %#x", c, callName, got, want)
						}
						compared++
					}
				}
			}
			if compared < 2000 {
				t.Errorf("only %d calls compared", compared)
			}
			t.Logf("%d calls, %d instructions, libseccomp %d", compared, len(ours.Filter), len(theirs))
		})
	}
}

// libseccompArgs leaves out what differs on purpose: an argument of ipc has a
// version above its 16 bits (mux.go).
func libseccompArgs(spec *specs.LinuxSeccomp, name string) [][maxArgs]uint64 {
	switch name {
	case "":
		return [][maxArgs]uint64{{}}
	case "socketcall", "ipc":
		var sets [][maxArgs]uint64
		for n := range uint64(26) {
			sets = append(sets, [maxArgs]uint64{n}, [maxArgs]uint64{n, 1, 1})
		}
		return sets
	}
	sets := argSets(&specs.LinuxSeccomp{Syscalls: withName(spec, name)}, "", newRandom(), 60)
	return sets
}

func withName(spec *specs.LinuxSeccomp, name string) (calls []specs.LinuxSyscall) {
	for _, s := range spec.Syscalls {
		for _, n := range s.Names {
			if n == name && len(s.Args) > 0 {
				calls = append(calls, s)
			}
		}
	}
	return calls
}

// notX32 has x32 numbers in libseccomp 2.6.0 but not in the kernel, where they
// are marked "64" (arch/x86/entry/syscalls/syscall_64.tbl).
var notX32 = []string{"uretprobe 335", "map_shadow_stack 453"}

// TestTables holds the numbers to libseccomp's own.
func TestTables(t *testing.T) {
	known := libseccompNames(t)
	total := 0
	for _, native := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64} {
		for _, b := range abisOf(native) {
			ours := map[string]bool{}
			for nr, name := range namesOf(b) {
				ours[name+" "+strconv.Itoa(int(nr&^x32Bit))] = true
			}
			// Two names of one number hide each other above.
			for _, row := range syscallTable {
				ours[row.name+" "+strconv.Itoa(int(row.nr[b.column]))] = true
			}
			for name := range libseccompNumbers(t)[b.arch] {
				if !ours[name] && !(b.isX32() && slices.Contains(notX32, name)) {
					t.Errorf("%s: libseccomp has %s", b.arch, name)
				}
				total++
			}
			if len(known[b.arch]) < 300 {
				t.Errorf("%s: only %d names in the golden file", b.arch, len(known[b.arch]))
			}
		}
	}
	if total < 1900 {
		t.Errorf("only %d numbers compared", total)
	}
}

func libseccompNumbers(t *testing.T) map[specs.Arch]map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(libseccompDir, "names.txt"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[specs.Arch]map[string]bool{}
	for line := range strings.Lines(string(text)) {
		arch, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		a := specs.Arch("SCMP_ARCH_" + strings.ToUpper(arch))
		if numbers[a] == nil {
			numbers[a] = map[string]bool{}
		}
		numbers[a][rest] = true
	}
	return numbers
}

func libseccompNames(t *testing.T) map[specs.Arch]map[string]bool {
	names := map[specs.Arch]map[string]bool{}
	for arch, numbers := range libseccompNumbers(t) {
		names[arch] = map[string]bool{}
		for entry := range numbers {
			name, _, _ := strings.Cut(entry, " ")
			names[arch][name] = true
		}
	}
	return names
}

func readFilter(t *testing.T, file string) []unix.SockFilter {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	filter := make([]unix.SockFilter, len(data)/8)
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, filter); err != nil {
		t.Fatal(err)
	}
	return filter
}

// updateLibseccomp builds the C program and writes what it says. Further flags
// for gcc may stand in CFLAGS and LDLIBS.
func updateLibseccomp(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "export")
	args := append(strings.Fields(os.Getenv("CFLAGS")), "-o", tool, filepath.Join(libseccompDir, "export.c"))
	libs := strings.Fields(os.Getenv("LDLIBS"))
	if len(libs) == 0 {
		libs = []string{"-lseccomp"}
	}
	if out, err := exec.Command("gcc", append(args, libs...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	export := func(file, input string, args ...string) {
		cmd := exec.Command(tool, args...)
		cmd.Stdin, cmd.Stderr = strings.NewReader(input), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", file, err, input)
		}
		if err := os.WriteFile(filepath.Join(libseccompDir, file), out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	export("names.txt", "", "names")
	for name, spec := range libseccompProfiles() {
		export(name+".bpf", exportInput(spec))
	}
}

// exportInput drives libseccomp as runc does (libcontainer/seccomp): no rule
// with the default action, and a rule each where an argument is compared twice.
func exportInput(spec *specs.LinuxSeccomp) string {
	var b strings.Builder
	other := naiveReturn(spec.DefaultAction, spec.DefaultErrnoRet)
	fmt.Fprintf(&b, "default %d\n", other)
	for _, arch := range spec.Architectures {
		fmt.Fprintf(&b, "arch %s\n", strings.ToLower(strings.TrimPrefix(string(arch), "SCMP_ARCH_")))
	}
	for _, s := range spec.Syscalls {
		ret := naiveReturn(s.Action, s.ErrnoRet)
		if ret == other {
			continue
		}
		for _, name := range s.Names {
			for _, args := range runcRules(s.Args) {
				fmt.Fprintf(&b, "rule %d %s", ret, name)
				for _, a := range args {
					fmt.Fprintf(&b, " %d %s %d %d", a.Index, strings.TrimPrefix(string(a.Op), "SCMP_CMP_"), a.Value, a.ValueTwo)
				}
				b.WriteString("\n")
			}
		}
	}
	return b.String()
}

func runcRules(args []specs.LinuxSeccompArg) (rules [][]specs.LinuxSeccompArg) {
	seen := map[uint]bool{}
	for _, a := range args {
		rules = append(rules, []specs.LinuxSeccompArg{a})
		seen[a.Index] = true
	}
	if len(seen) == len(args) {
		return [][]specs.LinuxSeccompArg{args}
	}
	return rules
}
