// SPDX-License-Identifier: Apache-2.0

package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rebirth forks: the new process goes on with the program, this one exits. A
// process cannot change its own PID namespace (pid_namespaces(7)): setns(2)
// counts for its children, so who joins one must be born once more. The new
// process is the caller's child, not this one's; Child.PID becomes its.
func (p *Program) Rebirth(what string) {
	p.add(op{kind: opRebirth, into: -1}, note{what: what})
}

// Store writes a register to the first four bytes of b, for calls that take a
// descriptor in memory (cmsg(3)).
func (p *Program) Store(r Reg, b []byte) {
	_ = b[3]
	p.add(op{kind: opStore, into: -1, a: unsafe.Pointer(&b[0]), args: [6]uintptr{uintptr(r)}}, note{what: "store"})
}

// MaxDigits is the most that Digits writes: those of any process id, and a NUL.
const MaxDigits = 20 + 1

// Digits writes a register to b as a decimal number with a NUL behind it. b has room
// for MaxDigits.
func (p *Program) Digits(r Reg, b []byte) {
	_ = b[MaxDigits-1]
	p.add(op{kind: opDigits, into: -1, a: unsafe.Pointer(&b[0]), args: [6]uintptr{uintptr(r)}}, note{what: "write the number"})
}

// digits is opDigits.
//
//go:nosplit
//go:norace
func digits(c *child, o *op) {
	n, length := c.regs[o.args[0]], uintptr(1)
	for rest := n; rest >= 10; rest /= 10 {
		length++
	}
	*(*byte)(unsafe.Add(o.a, length)) = 0
	for ; length > 0; length-- {
		*(*byte)(unsafe.Add(o.a, length-1)) = '0' + byte(n%10)
		n /= 10
	}
}

// CloseFrom closes every descriptor from first on, now and not at exec, but
// for those that Fork made and up to four more: descriptors or registers.
func (p *Program) CloseFrom(what string, first int, keep ...any) {
	o := op{kind: opCloseFrom, into: -1, args: [6]uintptr{uintptr(first), gateFD, gateFD, gateFD, gateFD}}
	for i, k := range keep {
		switch v := k.(type) {
		case int:
			o.args[i+1] = uintptr(v)
		case Reg:
			o.args[i+1] = uintptr(v)
			o.regs |= 1 << (i + 1)
		default:
			panic(fmt.Sprintf("program: argument of type %T", k))
		}
	}
	p.add(o, note{what: what})
}

// Report goes on reporting over another descriptor, whose reader gets the
// bytes that FailureErrno understands, or the end of the stream at exec.
func (p *Program) Report(what string, fd Reg) {
	p.Call("dup3", what, unix.SYS_DUP3, fd, reportFD, unix.O_CLOEXEC)
}

// FailureErrno reads what a child sends when it fails.
func FailureErrno(b []byte) unix.Errno {
	if len(b) < int(unsafe.Sizeof(failure{})) {
		return unix.EPROTO
	}
	return unix.Errno(binary.NativeEndian.Uint32(b[8:]))
}

// rebirth returns in the new process only.
//
//go:nosplit
//go:norace
func rebirth(c *child, exit uintptr) {
	// CLONE_PARENT_SETTID is written before the new process runs, to the page
	// that the parent shares.
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT|unix.CLONE_PARENT_SETTID, 0,
		uintptr(unsafe.Pointer(&c.page.reborn)), 0, 0, 0)
	if e != 0 {
		fail(c, uintptr(e), 0, exit)
	}
	for pid != 0 {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

//go:nosplit
//go:norace
func closeFrom(c *child, o *op) {
	keep := [6]uintptr{c.report, c.gate, o.args[1], o.args[2], o.args[3], o.args[4]}
	for i := 2; i < len(keep); i++ {
		if o.regs&(1<<(i-1)) != 0 {
			keep[i] = c.regs[keep[i]]
		}
	}
	for i := 1; i < len(keep); i++ {
		for k := i; k > 0 && keep[k] < keep[k-1]; k-- {
			keep[k], keep[k-1] = keep[k-1], keep[k]
		}
	}
	low := o.args[0]
	for i := range keep {
		low = closeBelow(low, keep[i])
	}
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, low, uintptr(^uint32(0)), 0)
}

// closeBelow closes low to keep-1 and gives where to go on.
//
//go:nosplit
//go:norace
func closeBelow(low, keep uintptr) uintptr {
	if keep < low {
		return low
	}
	if keep > low {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, low, keep-1, 0)
	}
	return keep + 1
}

// settle makes PID that of the process which goes on with the program, and
// reaps the one that did not.
func (c *Child) settle() {
	reborn := int(atomic.LoadUint32(&c.page.reborn))
	if reborn == 0 || reborn == c.PID {
		return
	}
	for {
		if _, err := unix.Wait4(c.PID, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.PID = reborn
}
