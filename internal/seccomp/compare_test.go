// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func uintp(v uint) *uint { return &v }

// natives are the architectures that the tables serve.
var natives = []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM}

// everyArch also names one that no kernel of ours can be entered by.
var everyArch = []specs.Arch{
	specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM, specs.ArchS390X,
}

// values are the places where a comparison with v or with half of it turns.
func values(v uint64) []uint64 {
	low := v & math.MaxUint32
	return []uint64{
		v, v - 1, v + 1, ^v, low, low - 1, low + 1, low | 1<<32, low | math.MaxUint32<<32,
		v ^ 1<<32, v ^ 1<<63, v + 1<<32, v - 1<<32, v &^ math.MaxUint32, v | math.MaxUint32, v << 32,
	}
}

// argSets gives arguments around everything that the profile compares: each
// value alone, and combinations of them at random but always the same.
func argSets(spec *specs.LinuxSeccomp, name string, random *rand.Rand, combinations int) [][maxArgs]uint64 {
	var pool [maxArgs][]uint64
	for i := range pool {
		pool[i] = []uint64{0, 1, math.MaxUint32, 1 << 32, math.MaxUint64}
	}
	for _, s := range spec.Syscalls {
		if name != "" && !slices.Contains(s.Names, name) {
			continue
		}
		for _, arg := range s.Args {
			pool[arg.Index] = append(pool[arg.Index], values(arg.Value)...)
			pool[arg.Index] = append(pool[arg.Index], values(arg.ValueTwo)...)
			pool[arg.Index] = append(pool[arg.Index], random.Uint64(), random.Uint64()&arg.Value|arg.ValueTwo)
		}
	}
	sets := [][maxArgs]uint64{{}}
	for i, values := range pool {
		for j, v := range values {
			if j > 200 && j%23 > 0 { // a long profile: a sample is enough
				continue
			}
			set := [maxArgs]uint64{}
			set[i] = v
			sets = append(sets, set)
		}
	}
	for range combinations {
		set := [maxArgs]uint64{}
		for i := range set {
			set[i] = pool[i][random.IntN(len(pool[i]))]
		}
		sets = append(sets, set)
	}
	return sets
}

// newRandom gives the same numbers in each run.
func newRandom() *rand.Rand { return rand.New(rand.NewPCG(7, 7)) }

// numbersOf gives every number of any table, those between and around them,
// with and without the x32 bit.
func numbersOf() []uint32 {
	var numbers []uint32
	for nr := range uint32(620) {
		numbers = append(numbers, nr, nr|x32Bit)
	}
	for nr := range uint32(10) {
		numbers = append(numbers, armPrivate+nr)
	}
	return append(numbers, 4096, x32Bit-1, 1<<31-1, 1<<31, 1<<31+39, math.MaxUint32-1, math.MaxUint32)
}

// namesOf maps each number of an ABI to a name, for the arguments to try.
func namesOf(b abi) map[uint32]string {
	names := map[uint32]string{}
	for _, row := range syscallTable {
		if row.nr[b.column] >= 0 {
			names[uint32(row.nr[b.column])+b.base()] = row.name
		}
	}
	return names
}

// compareAll holds a compiled profile to the naive evaluator over all numbers,
// architectures and the arguments where something can change.
func compareAll(t *testing.T, spec *specs.LinuxSeccomp, native uint32, combinations int) {
	t.Helper()
	compareNumbers(t, spec, native, combinations, numbersOf())
}

func compareNumbers(t testing.TB, spec *specs.LinuxSeccomp, native uint32, combinations int, numbers []uint32) {
	t.Helper()
	program, err := Compile(spec, native)
	if err != nil {
		t.Fatal(err)
	}
	checkForm(t, program.Filter)
	random := newRandom()
	withArgs := map[string][][maxArgs]uint64{}
	for _, s := range spec.Syscalls {
		for _, name := range s.Names {
			if len(s.Args) > 0 {
				withArgs[name] = argSets(spec, name, random, combinations)
			}
		}
	}
	withArgs["socketcall"] = muxArgs()
	withArgs["ipc"] = muxArgs()
	plain := [][maxArgs]uint64{{}, {1, 2, 3, 4, 5, 6}}
	for _, b := range append(abisOf(native), abi{audit: unix.AUDIT_ARCH_S390X}) {
		names := namesOf(b)
		for _, nr := range numbers {
			sets := plain
			if special := withArgs[names[nr]]; special != nil {
				sets = special
			}
			for _, args := range sets {
				c := call{arch: b.audit, nr: nr, args: args}
				want := naive(spec, native, c)
				if got, _ := run(program.Filter, c); got != want {
					t.Fatalf("%v (%s): got %#x, want %#x\n%s", c, names[nr], got, want, listing(program.Filter))
				}
			}
		}
	}
}

func muxArgs() (sets [][maxArgs]uint64) {
	for n := range uint64(26) {
		sets = append(sets, [maxArgs]uint64{n}, [maxArgs]uint64{n | 1<<16}, [maxArgs]uint64{n, 1, 1, 1})
	}
	return sets
}

// checkForm applies the kernel's rules for a program (net/core/filter.c,
// bpf_check_classic; kernel/seccomp.c, seccomp_check_filter) and our own: only
// instructions that keep the kernel's action cache working, nothing unused.
func checkForm(t testing.TB, filter []unix.SockFilter) {
	t.Helper()
	if len(filter) == 0 || len(filter) > maxInstructions {
		t.Fatalf("%d instructions", len(filter))
	}
	reached := make([]bool, len(filter)+1)
	reached[0] = true
	for i, in := range filter {
		if !reached[i] {
			t.Errorf("instruction %d is never reached", i)
		}
		next := []int{i + 1}
		switch in.Code {
		case opRet:
			next = nil
		case opJump:
			next = []int{i + 1 + int(in.K)}
		case opJEQ, opJGT, opJGE, opJSET:
			next = []int{i + 1 + int(in.Jt), i + 1 + int(in.Jf)}
		case opLoad:
			if in.K%4 != 0 || in.K >= offsetArgs+8*maxArgs {
				t.Errorf("instruction %d loads from %d", i, in.K)
			}
		case opAnd:
		default:
			t.Errorf("instruction %d has code %#x", i, in.Code)
		}
		for _, n := range next {
			if n >= len(filter) {
				t.Fatalf("instruction %d leads to %d of %d\n%s", i, n, len(filter), listing(filter))
			}
			reached[n] = true
		}
	}
}

// rule is one in short form.
func rule(action specs.LinuxSeccompAction, names string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: strings.Fields(names), Action: action, Args: args}
}

func arg(index uint, op specs.LinuxSeccompOperator, value ...uint64) specs.LinuxSeccompArg {
	a := specs.LinuxSeccompArg{Index: index, Op: op, Value: value[0]}
	if len(value) > 1 {
		a.ValueTwo = value[1]
	}
	return a
}
