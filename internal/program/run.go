// SPDX-License-Identifier: Apache-2.0

package program

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/inroot"
)

// failure is how far the child came and what stopped it there.
type failure struct {
	op     uint32 // the op being run
	failed uint32 // 1: the op failed with errno, or gave got where another result was wanted
	errno  uint32
	kill   uint32 // 1: the child reached the step at which a test stops it
	got    uint64
}

// page is shared between parent and child (mmap MAP_SHARED): how far the child
// came, and why it stopped.
type page struct {
	failure
	verdict uint32           // exit status of a child that its parent lets down; 0 = the failed call's
	reborn  uint32           // PID of the process that Rebirth made; 0 = none
	times   [MaxSteps]uint64 // CLOCK_MONOTONIC of each step's start, ns; 0 = not reached
}

// child is all that the forked child needs, prepared by the parent.
type child struct {
	ops    *op
	n      int
	page   *page
	report uintptr    // write end: closed by exec, one byte = failed
	gate   uintptr    // read end: end-of-file = exit now
	stopAt int32      // op of the step at which to report and wait; -1 = none
	pidfd  int32      // its own, of a child that waits for its program
	parent uintptr    // pidfd of the process whose descriptors it shares; 0 = it has its own
	close  [3]uintptr // descriptors of the parent's alone
	stack  []byte     // its own in the parent's memory; nil = it has a copy
	regs   [MaxRegs]uintptr
}

// begin is where a child begins; it does not return.
//
//go:nosplit
//go:norace
func begin(c *child) {
	if c.parent != 0 {
		awaitProgram(c)
	}
	for i := 0; i < len(c.close); i++ {
		syscall.RawSyscall(unix.SYS_CLOSE, c.close[i], 0, 0)
	}
	run(c)
}

// run is the child's life after fork. The child has one thread, the parent's
// memory as a copy, and no Go runtime that works: nothing here may allocate,
// grow the stack, block in the scheduler or call what might.
//
//go:nosplit
//go:norace
func run(c *child) {
	for i := 0; i < c.n; {
		o := (*op)(unsafe.Add(unsafe.Pointer(c.ops), uintptr(i)*unsafe.Sizeof(op{})))
		c.page.op = uint32(i)
		if int32(i) == c.stopAt {
			c.page.kill = 1
			fail(c, 0, 0, uintptr(o.exit))
		}
		switch o.kind {
		case opStep:
			var ts syscall.Timespec
			syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
			c.page.times[o.step] = uint64(ts.Sec)*1e9 + uint64(ts.Nsec)
			i++
			continue
		case opJump:
			i = int(o.target)
			continue
		case opCompare:
			if equal(o.a, o.b, o.mask, o.args[0]) == (o.want == 1) {
				fail(c, uintptr(unix.EBADE), 0, uintptr(o.exit))
			}
			i++
			continue
		case opFail:
			fail(c, o.args[0], 0, uintptr(o.exit))
		case opSpawn:
			spawn(c, o)
			i++
			continue
		case opRebirth:
			rebirth(c, uintptr(o.exit))
			i++
			continue
		case opStore:
			*(*int32)(o.a) = int32(c.regs[o.args[0]])
			i++
			continue
		case opDigits:
			digits(c, o)
			i++
			continue
		case opCloseFrom:
			closeFrom(c, o)
			i++
			continue
		case opBits:
			bits(c, o)
			i++
			continue
		case opEach:
			each(c, o)
			i++
			continue
		case opInit:
			splitInit(c, o.args[0], uintptr(o.exit))
			i++
			continue
		}
		r, e := call(c, o)
		if e == 0 {
			if o.hasWant && r != o.want {
				fail(c, uintptr(unix.EBADE), r, uintptr(o.exit))
			}
			if o.into >= 0 {
				c.regs[o.into] = r
			}
			i++
			continue
		}
		if !skips(o, e) {
			fail(c, e, 0, uintptr(o.exit))
		}
		i = int(o.target)
	}
	fail(c, uintptr(unix.ENOEXEC), 0, 255)
}

//go:nosplit
//go:norace
func call(c *child, o *op) (uintptr, uintptr) {
	a := o.args
	for j := range a {
		if o.regs&(1<<j) != 0 {
			a[j] = c.regs[a[j]]
		}
	}
	for n := 0; ; n++ {
		r, _, e := syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != unix.EINTR && (e != unix.EAGAIN || o.nr != unix.SYS_OPENAT2 || n >= inroot.Attempts) {
			return r, uintptr(e)
		}
	}
}

//go:nosplit
//go:norace
func skips(o *op, e uintptr) bool {
	for _, s := range o.skip {
		if s != 0 && uintptr(s) == e {
			return true
		}
	}
	return false
}

//go:nosplit
//go:norace
func equal(a, b, mask unsafe.Pointer, n uintptr) bool {
	for i := uintptr(0); i < n; i++ {
		bits := byte(0xff)
		if mask != nil {
			bits = *(*byte)(unsafe.Add(mask, i))
		}
		if *(*byte)(unsafe.Add(a, i))&bits != *(*byte)(unsafe.Add(b, i))&bits {
			return false
		}
	}
	return true
}

// fail leaves the reason on the shared page, sends it to whom the child reports
// and waits until the parent has closed the gate: only then may the main PID
// of the service be gone, so that STATUS= arrives first.
//
//go:nosplit
//go:norace
func fail(c *child, errno, got, exit uintptr) {
	c.page.errno, c.page.got, c.page.failed = uint32(errno), uint64(got), 1
	var b [1]byte
	syscall.RawSyscall(unix.SYS_WRITE, c.report, uintptr(unsafe.Pointer(&c.page.failure)), unsafe.Sizeof(failure{}))
	syscall.RawSyscall(unix.SYS_CLOSE, c.report, 0, 0)
	for {
		r, _, e := syscall.RawSyscall(unix.SYS_READ, c.gate, uintptr(unsafe.Pointer(&b)), 1)
		if e == unix.EINTR || (e == 0 && r == 1) {
			continue
		}
		break
	}
	if c.page.verdict != 0 {
		exit = uintptr(c.page.verdict)
	}
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, exit, 0, 0)
	// A seccomp profile that does not even allow exit_group(2) is in force. A
	// fault ends the process all the same: signals have their default action by
	// the time a filter is loaded.
	for {
		var nowhere *uint32
		*nowhere = 0
	}
}
