// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// condition is one argument compared. BPF sees 32 bits at a time, so that a
// wide argument is judged by its high half first.
type condition struct {
	op          specs.LinuxSeccompOperator
	offset      uint32
	value, mask uint64
	narrow      bool
}

func newCondition(arg specs.LinuxSeccompArg, narrow bool) condition {
	c := condition{
		op:     arg.Op,
		offset: offsetArgs + 8*uint32(arg.Index),
		value:  arg.Value,
		mask:   math.MaxUint64,
		narrow: narrow,
	}
	if c.op == specs.OpMaskedEqual {
		// Bits of the value outside the mask are dropped, as libseccomp does.
		c.op, c.mask, c.value = specs.OpEqualTo, arg.Value, arg.ValueTwo&arg.Value
	}
	if narrow {
		c.value, c.mask = c.value&math.MaxUint32, c.mask&math.MaxUint32
	}
	return c
}

// limit is the greatest value the argument can have.
func (c condition) limit() uint64 {
	if c.narrow {
		return math.MaxUint32
	}
	return math.MaxUint64
}

// constant tells whether the condition holds for every value or for none.
func (c condition) constant() (holds, constant bool) {
	switch c.op {
	case specs.OpEqualTo:
		return true, c.mask == 0
	case specs.OpGreaterEqual:
		return true, c.value == 0
	case specs.OpLessEqual:
		return true, c.value == c.limit()
	case specs.OpLessThan:
		return false, c.value == 0
	case specs.OpGreaterThan:
		return false, c.value == c.limit()
	}
	return false, false
}

// condition emits code that goes to yes or no.
func (a *assembler) condition(c condition, yes, no label) label {
	if holds, constant := c.constant(); constant {
		if holds {
			return yes
		}
		return no
	}
	switch c.op {
	case specs.OpNotEqual:
		return a.equal(c, no, yes)
	case specs.OpLessThan:
		return a.greater(c, opJGE, no, yes)
	case specs.OpLessEqual:
		return a.greater(c, opJGT, no, yes)
	case specs.OpGreaterEqual:
		return a.greater(c, opJGE, yes, no)
	case specs.OpGreaterThan:
		return a.greater(c, opJGT, yes, no)
	}
	return a.equal(c, yes, no)
}

func (a *assembler) equal(c condition, yes, no label) label {
	l := a.equalHalf(c.offset, uint32(c.mask), uint32(c.value), yes, no)
	if c.narrow {
		return l
	}
	return a.equalHalf(c.offset+4, uint32(c.mask>>32), uint32(c.value>>32), l, no)
}

func (a *assembler) equalHalf(offset, mask, value uint32, yes, no label) label {
	if mask == 0 || yes == no {
		return yes
	}
	stillYes, stillNo := a.loaded(yes, offset), a.loaded(no, offset)
	var test label
	switch {
	case mask == math.MaxUint32:
		test = a.test(opJEQ, value, stillYes, stillNo)
	case value == 0:
		test = a.test(opJSET, mask, stillNo, stillYes)
	case value == mask && mask&(mask-1) == 0:
		test = a.test(opJSET, mask, stillYes, stillNo)
	default: // the accumulator changes: no load can be saved behind it
		test = a.follow(opAnd, mask, a.test(opJEQ, value, yes, no))
	}
	return a.follow(opLoad, offset, test)
}

// greater is arg > value (opJGT) or arg >= value (opJGE): decided by the high
// halves unless these are equal.
func (a *assembler) greater(c condition, op uint16, yes, no label) label {
	if yes == no {
		return yes
	}
	low := c.offset
	l := a.follow(opLoad, low, a.test(op, uint32(c.value), a.loaded(yes, low), a.loaded(no, low)))
	if c.narrow {
		return l
	}
	high, value := c.offset+4, uint32(c.value>>32)
	l = a.test(opJEQ, value, l, a.loaded(no, high))
	if value < math.MaxUint32 {
		l = a.test(opJGT, value, a.loaded(yes, high), l)
	}
	return a.follow(opLoad, high, l)
}
