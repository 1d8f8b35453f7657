// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/waiting"
)

// Begin clones a child that has no program yet: others can make its acquaintance
// while the program is compiled. It shares this process's memory and descriptors
// until Run, so what is opened meanwhile is the child's too. It ends with this
// process, and by Close or Abandon.
func Begin(opt ForkOptions) (*Child, error) {
	if !canShare {
		return nil, errors.ErrUnsupported
	}
	// Sharing descriptors the child has the gate's other end as well: that this
	// process has ended the gate cannot tell.
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	c, err := newChild()
	if err != nil {
		unix.Close(self)
		return nil, err
	}
	c.theirs = append(c.theirs, os.NewFile(uintptr(self), "pidfd"))
	c.state.parent, c.state.pidfd = uintptr(self), -1
	c.state.close = [3]uintptr{c.report.Fd(), c.gate.Fd(), uintptr(self)}
	opt.Shared = true
	if err := c.clone(opt); err != nil {
		return nil, err
	}
	c.theirs = append(c.theirs, os.NewFile(uintptr(c.state.pidfd), "pidfd"))
	return c, nil
}

// Run hands a child that Begin made its program. When it returns the child has
// descriptors of its own: those that were open here.
func (c *Child) Run(p *Program, stopAt string) error {
	c.load(p, stopAt)
	if err := c.Open(); err != nil {
		return fmt.Errorf("handing over the program: %w", err)
	}
	fds := []unix.PollFd{{Fd: int32(c.report.Fd()), Events: unix.POLLIN}, {Fd: c.state.pidfd, Events: unix.POLLIN}}
	var err error
	for {
		var n int
		if n, err = unix.Poll(fds, int(waiting.Long.Milliseconds())); n > 0 || err != nil && err != unix.EINTR {
			break
		}
		if err == nil {
			waiting.Tell()
		}
	}
	if err != nil {
		return os.NewSyscallError("poll", err)
	}
	defer c.closeTheirs()
	if fds[0].Revents == 0 {
		return &OpError{Step: p.steps[0].Name, What: "begin", Exit: p.steps[0].Exit, Err: ErrKilled}
	}
	if _, err := c.report.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("reading the report pipe: %w", err)
	}
	return nil
}

// More makes what p has got since Run known to the child, which by then waits at a
// gate, or will.
func (c *Child) More(p *Program, stopAt string) {
	// The call that it is in stands there, where p has outgrown its room.
	p.keep = append(p.keep, unsafe.Pointer(c.state.ops))
	c.load(p, stopAt)
}

// dismiss ends a child that waits for a program which will never come.
func (c *Child) dismiss() {
	if c.state.parent != 0 && c.prog == nil {
		_ = c.Open() // what cannot be written to has no reader left
	}
}

// awaitProgram returns in a child that has one, and descriptors of its own.
//
//go:nosplit
//go:norace
func awaitProgram(c *child) {
	var b [1]byte
	fds := [2]unix.PollFd{{Fd: int32(c.gate), Events: unix.POLLIN}, {Fd: int32(c.parent), Events: unix.POLLIN}}
	for {
		_, _, e := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), 2, 0, 0, sigsetSize, 0)
		if e == unix.EINTR {
			continue
		}
		if fds[0].Revents == 0 {
			leave(c)
		}
		r, _, e := syscall.RawSyscall(unix.SYS_READ, c.gate, uintptr(unsafe.Pointer(&b)), 1)
		if e == unix.EINTR {
			continue
		}
		if r != 1 || c.ops == nil {
			leave(c)
		}
		break
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_UNSHARE, unix.CLONE_FILES, 0, 0); e != 0 {
		fail(c, uintptr(e), 0, uintptr(c.ops.exit))
	}
	// In a write of its own: what fail says can follow.
	syscall.RawSyscall(unix.SYS_WRITE, c.report, uintptr(unsafe.Pointer(&b)), 1)
}

// leave ends a child that never had a program.
//
//go:nosplit
//go:norace
func leave(c *child) {
	exit := uintptr(c.page.verdict)
	if exit == 0 {
		exit = 1
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, exit, 0, 0)
	}
}
