// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// source deals out the fuzzer's bytes, zeros when they are used up.
type source struct{ data []byte }

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func pick[T any](s *source, from []T) T { return from[int(s.byte())%len(from)] }

// value prefers numbers that meet each other's borders.
func (s *source) value() uint64 {
	switch b := s.byte(); b % 8 {
	case 0:
		return uint64(b >> 3)
	case 1:
		return 1 << (b >> 2)
	case 2:
		return math.MaxUint64 << (b >> 3)
	case 3:
		return math.MaxUint64 >> (b >> 3)
	case 4:
		return uint64(s.byte())<<32 | uint64(s.byte())
	default:
		v := uint64(0)
		for range 8 {
			v = v<<8 | uint64(s.byte())
		}
		return v
	}
}

// fewCalls have neighbours, other numbers on other ABIs, or are multiplexed.
var fewCalls = []string{
	"read", "write", "ioctl", "socket", "bind", "connect", "semop", "shmget", "socketcall", "ipc", "clone", "openat",
	"mmap", "mmap2", "execve", "set_tls", "statmount", "rt_sigaction", "arm_sync_file_range", "sync_file_range2", "no_such_call",
}

var allActions = []specs.LinuxSeccompAction{
	specs.ActErrno, specs.ActAllow, specs.ActKill, specs.ActKillProcess, specs.ActTrap, specs.ActTrace, specs.ActLog, specs.ActNotify,
}

func (s *source) profile() *specs.LinuxSeccomp {
	spec := &specs.LinuxSeccomp{DefaultAction: pick(s, allActions[:7]), ListenerPath: "/run/agent"}
	if b := s.byte(); b&1 != 0 && (spec.DefaultAction == specs.ActErrno || spec.DefaultAction == specs.ActTrace) {
		spec.DefaultErrnoRet = uintp(uint(b >> 1))
	}
	for bits := s.byte(); bits != 0; bits >>= 2 {
		spec.Architectures = append(spec.Architectures, everyArch[int(bits)%len(everyArch)])
	}
	for n := s.byte() % 24; n > 0; n-- {
		call := specs.LinuxSyscall{Action: pick(s, allActions)}
		if b := s.byte(); b&3 == 1 && (call.Action == specs.ActErrno || call.Action == specs.ActTrace) {
			call.ErrnoRet = uintp(uint(b >> 4))
		}
		for names := s.byte()%3 + 1; names > 0; names-- {
			call.Names = append(call.Names, pick(s, fewCalls))
		}
		for args := s.byte() % 4; args > 0; args-- {
			call.Args = append(call.Args, arg(uint(s.byte()%maxArgs), pick(s, allOperators), s.value(), s.value()))
		}
		spec.Syscalls = append(spec.Syscalls, call)
	}
	return spec
}

// FuzzCompile makes a profile of the bytes and holds the compiled program to
// the naive evaluator, around everything that the profile compares.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\xff\x05\x01\x00\x00\x03\x01\x00\x04\x11\x03\x02\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 4096 {
			compareDealt(t, &source{data})
		}
	})
}

// TestDealtProfiles does the same with bytes at random, in every test run.
func TestDealtProfiles(t *testing.T) {
	random := newRandom()
	for range 300 {
		data := make([]byte, random.IntN(600))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		compareDealt(t, &source{data})
	}
}

func compareDealt(t *testing.T, s *source) {
	native := pick(s, natives)
	spec := s.profile()
	var numbers []uint32
	for _, b := range abisOf(native) {
		for _, name := range fewCalls {
			if nr, ok := naiveNumber(name, b); ok {
				numbers = append(numbers, nr-1, nr, nr+1)
			}
		}
	}
	numbers = append(numbers, 0, 600, x32Bit-1, x32Bit, x32Bit+600, 1<<31, math.MaxUint32-1, math.MaxUint32)
	defer func() {
		if t.Failed() {
			text, _ := json.MarshalIndent(spec, "", " ")
			t.Logf("architecture %#x, profile %s", native, text)
		}
	}()
	compareNumbers(t, spec, native, 8, numbers)
}

// FuzzParseProfile: no text makes the reader crash, and what it takes compiles
// or is refused with a reason.
func FuzzParseProfile(f *testing.F) {
	f.Add([]byte(conditional))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"x","action":"SCMP_ACT_KILL","args":[{"index":1,"value":1,"op":"SCMP_CMP_GT"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProfile(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		spec := p.Resolve(Host{Arch: unix.AUDIT_ARCH_X86_64, Kernel: Kernel{6, 1}})
		program, err := Compile(spec, unix.AUDIT_ARCH_X86_64)
		if err != nil {
			return
		}
		checkForm(t, program.Filter)
	})
}
