// SPDX-License-Identifier: Apache-2.0

package program

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bits adds a call for each bit of a set of n, with the bit's number in the place
// of the argument at. Where which has a bit the call is made; its result must be
// the bit of want then, or 0 with want nil. names are for errors and listings: a
// failure gives the number as the value got.
//
// One op does what a hundred would, of which each costs a start 0.5 µs.
func (p *Program) Bits(what, detail string, names []string, which uint64, want *uint64, nr uintptr, at int, args ...any) {
	sets := &[2]uint64{which}
	if want != nil {
		sets[1] = *want
	}
	if len(names) > 0 {
		detail += " " + strings.Join(names, " ")
	}
	c := p.Call(what, detail, nr, args...)
	o := &p.ops[c.i]
	o.kind, o.a, o.target = opBits, unsafe.Pointer(sets), int32(at)
}

// bits is opBits.
//
//go:nosplit
//go:norace
func bits(c *child, o *op) {
	sets := (*[2]uint64)(o.a)
	for n := uintptr(0); n < 64; n++ {
		if sets[0]>>n&1 == 0 {
			continue
		}
		r, e := numbered(o, n)
		if e != 0 {
			fail(c, e, n, uintptr(o.exit))
		}
		if uint64(r) != sets[1]>>n&1 {
			fail(c, uintptr(unix.EBADE), n, uintptr(o.exit))
		}
	}
}

// numbered makes a call with a number in the place of one of its arguments.
//
//go:nosplit
//go:norace
func numbered(o *op, n uintptr) (uintptr, uintptr) {
	a := o.args
	a[o.target] = n
	for {
		r, _, e := syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != unix.EINTR {
			return r, uintptr(e)
		}
	}
}

// Each adds a call for each number from first to last, in the place of the argument
// at. Each must give want, or the errno that is fine. A failure gives the number as
// the value got.
func (p *Program) Each(what, detail string, first, last int, want uintptr, fine unix.Errno, nr uintptr, at int, args ...any) {
	c := p.Call(what, detail, nr, args...).Want(want)
	c.errnos([]unix.Errno{fine})
	o := &p.ops[c.i]
	o.kind, o.a, o.target = opEach, unsafe.Pointer(&[2]uintptr{uintptr(first), uintptr(last)}), int32(at)
}

// each is opEach.
//
//go:nosplit
//go:norace
func each(c *child, o *op) {
	ends := (*[2]uintptr)(o.a)
	for n := ends[0]; n <= ends[1]; n++ {
		r, e := numbered(o, n)
		if e != 0 && !skips(o, e) {
			fail(c, e, n, uintptr(o.exit))
		}
		if e == 0 && r != o.want {
			fail(c, uintptr(unix.EBADE), n, uintptr(o.exit))
		}
	}
}
