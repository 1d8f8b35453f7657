// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// call is struct seccomp_data without the instruction pointer.
type call struct {
	arch uint32
	nr   uint32
	args [maxArgs]uint64
}

func (c call) String() string {
	return fmt.Sprintf("arch %#x nr %#x args %#x", c.arch, c.nr, c.args)
}

// word reads 32 bits as a little-endian kernel lays them out.
func (c call) word(offset uint32) uint32 {
	switch {
	case offset == offsetNr:
		return c.nr
	case offset == offsetArch:
		return c.arch
	case offset >= offsetArgs && offset < offsetArgs+8*maxArgs && offset%4 == 0:
		arg := c.args[(offset-offsetArgs)/8]
		if offset%8 == 4 {
			arg >>= 32
		}
		return uint32(arg)
	}
	panic(fmt.Sprintf("load from offset %d", offset))
}

// run executes a filter as the kernel would and counts its steps. It panics
// on a program that the kernel would refuse or that does not end.
func run(filter []unix.SockFilter, c call) (ret uint32, steps int) {
	var acc uint32
	for at := 0; ; at++ {
		in := filter[at]
		steps++
		taken := false
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = c.word(in.K)
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K, steps
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = acc == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = acc > in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = acc >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			taken = acc&in.K != 0
		default:
			panic(fmt.Sprintf("instruction %d: code %#x", at, in.Code))
		}
		if taken {
			at += int(in.Jt)
		} else {
			at += int(in.Jf)
		}
	}
}

// listing is the program in readable form, for the message of a failure.
func listing(filter []unix.SockFilter) string {
	names := map[uint16]string{
		opLoad: "ld", opAnd: "and", opRet: "ret", opJump: "ja",
		opJEQ: "jeq", opJGT: "jgt", opJGE: "jge", opJSET: "jset",
	}
	text := ""
	for i, in := range filter {
		switch in.Code {
		case opLoad, opAnd, opRet:
			text += fmt.Sprintf("%4d %-4s %#x\n", i, names[in.Code], in.K)
		case opJump:
			text += fmt.Sprintf("%4d ja   %d\n", i, i+1+int(in.K))
		default:
			text += fmt.Sprintf("%4d %-4s %#x ? %d : %d\n", i, names[in.Code], in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		}
	}
	return text
}

// TestMachine holds the interpreter to programs whose result is known by hand,
// or every comparison with it would be worth nothing.
func TestMachine(t *testing.T) {
	filter := []unix.SockFilter{
		{Code: opLoad, K: offsetArgs + 8 + 4}, // high half of argument 1
		{Code: opJEQ, K: 7, Jt: 0, Jf: 4},
		{Code: opLoad, K: offsetArgs + 8},
		{Code: opAnd, K: 0xf0},
		{Code: opJSET, K: 0x30, Jt: 0, Jf: 1},
		{Code: opRet, K: 1},
		{Code: opJGT, K: 8, Jt: 1, Jf: 0},
		{Code: opJump, K: 1},
		{Code: opRet, K: 2},
		{Code: opRet, K: 3},
	}
	for arg, want := range map[uint64]uint32{
		7<<32 | 0x1f:       1,
		7<<32 | 0x8f:       2, // 0x80 has none of 0x30 and is above 8
		7<<32 | 0x0f:       3,
		0x1f:               3, // the high half is 0, not above 8
		9<<32 | 0x1f:       2,
		0xffffffff00000000: 2,
	} {
		got, _ := run(filter, call{args: [maxArgs]uint64{0, arg}})
		if got != want {
			t.Errorf("argument %#x: got %d, want %d", arg, got, want)
		}
	}
}
