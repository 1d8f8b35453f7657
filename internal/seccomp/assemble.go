// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Only these instructions are used. The kernel runs a filter at load time for
// every number and remembers those it always allows, so that they never run it
// again; it gives up on any other instruction (Linux 5.11, kernel/seccomp.c,
// seccomp_is_const_allow).
const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
	opJump = unix.BPF_JMP | unix.BPF_JA
	opJEQ  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opJGT  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opJGE  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opJSET = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
)

// Offsets in struct seccomp_data. Every ABI in the table is little-endian, so
// the low half of an argument comes first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// maxSkip is the reach of a conditional jump: jt and jf have eight bits.
const maxSkip = 255

// label is an instruction's place counted from the end of the program.
type label int

// assembler builds a program from its end to its start: BPF jumps only go
// forward, so whatever an instruction jumps to is already in place and its
// distance known.
type assembler struct {
	code []unix.SockFilter // the last one runs first
	rets []label           // one of each value; a profile has few
	memo map[key]label
	hops map[label]label
}

// key is an instruction and where it leads, for those worth sharing.
type key struct {
	code uint16
	k    uint32
	t, f label
}

func newAssembler() *assembler {
	return &assembler{
		code: make([]unix.SockFilter, 0, 512),
		memo: map[key]label{},
		hops: map[label]label{},
	}
}

// program gives the instructions in running order, without those that nothing
// leads to. Jumps over these get shorter, so that none goes out of reach.
func (a *assembler) program() []unix.SockFilter {
	slices.Reverse(a.code)
	used := make([]bool, len(a.code))
	used[0] = true
	for i, in := range a.code {
		if used[i] && in.Code != opRet {
			t, f := targets(i, in)
			used[t], used[f] = true, true
		}
	}
	place, kept := make([]int, len(a.code)), 0
	for i := range place {
		place[i] = kept
		if used[i] {
			kept++
		}
	}
	out := make([]unix.SockFilter, 0, kept)
	for i, in := range a.code {
		if !used[i] {
			continue
		}
		switch t, f := targets(i, in); in.Code {
		case opRet, opLoad, opAnd:
		case opJump:
			in.K = uint32(place[t] - len(out) - 1)
		default:
			in.Jt, in.Jf = uint8(place[t]-len(out)-1), uint8(place[f]-len(out)-1)
		}
		out = append(out, in)
	}
	return out
}

// targets gives the instructions that the one at i goes on to.
func targets(i int, in unix.SockFilter) (t, f int) {
	if in.Code == opJump {
		t = i + 1 + int(in.K)
		return t, t
	}
	return i + 1 + int(in.Jt), i + 1 + int(in.Jf)
}

func (a *assembler) emit(code uint16, jt, jf uint8, k uint32) label {
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	return label(len(a.code) - 1)
}

// skip is the distance from the instruction emitted next to one in place.
func (a *assembler) skip(to label) int { return len(a.code) - 1 - int(to) }

// ret is the one return of that value.
func (a *assembler) ret(value uint32) label {
	for _, l := range a.rets {
		if a.code[l].K == value {
			return l
		}
	}
	l := a.emit(opRet, 0, 0, value)
	a.rets = append(a.rets, l)
	return l
}

// share makes an instruction once.
func (a *assembler) share(k key, make func() label) label {
	if l, ok := a.memo[k]; ok {
		return l
	}
	l := make()
	a.memo[k] = l
	return l
}

// near gives a place equal to to that a conditional jump can reach with spare
// further instructions in between. The last stepping stone to a place is used
// again as long as it is in reach itself.
func (a *assembler) near(to label, spare int) label {
	if a.skip(to)+spare <= maxSkip {
		return to
	}
	if hop, ok := a.hops[to]; ok && a.skip(hop)+spare <= maxSkip {
		return hop
	}
	hop := a.hop(to)
	a.hops[to] = hop
	return hop
}

// hop emits one instruction that does what the one at to does, or leads there.
func (a *assembler) hop(to label) label {
	if a.code[to].Code == opRet {
		return a.emit(opRet, 0, 0, a.code[to].K)
	}
	return a.emit(opJump, 0, 0, uint32(a.skip(to)))
}

// branch emits a conditional jump, unless both ways are one.
func (a *assembler) branch(code uint16, k uint32, t, f label) label {
	if t == f {
		return t
	}
	t = a.near(t, 1) // the stone for f may come between
	f = a.near(f, 0)
	return a.emit(code, uint8(a.skip(t)), uint8(a.skip(f)), k)
}

// test is a branch that is shared.
func (a *assembler) test(code uint16, k uint32, t, f label) label {
	return a.share(key{code, k, t, f}, func() label { return a.branch(code, k, t, f) })
}

// follow emits an instruction that falls through to next; it is shared.
func (a *assembler) follow(code uint16, k uint32, next label) label {
	return a.share(key{code: code, k: k, t: next}, func() label {
		if a.skip(next) > 0 {
			a.hop(next)
		}
		return a.emit(code, 0, 0, k)
	})
}

// loaded is where to go on at l when the accumulator already holds the word
// at offset.
func (a *assembler) loaded(l label, offset uint32) label {
	if in := a.code[l]; in.Code == opLoad && in.K == offset && l > 0 {
		return l - 1
	}
	return l
}
