// SPDX-License-Identifier: Apache-2.0

package program

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Spawn runs another program as a child of the child and waits for it. stdin
// is an open descriptor. A program that does not exit with 0, or not within
// timeout (0 = any time), is a failure: ETIME, or ECANCELED with the wait
// status as the value got.
func (p *Program) Spawn(what, path string, args, env []string, stdin int, timeout time.Duration) {
	ms := int64(-1)
	if timeout > 0 {
		ms = max(timeout.Milliseconds(), 1)
	}
	p.add(op{kind: opSpawn, into: -1, args: [6]uintptr{
		uintptr(p.Str(path)), uintptr(p.Strv(args)), uintptr(p.Strv(env)), uintptr(stdin), uintptr(ms),
	}}, note{what, path})
}

// spawn is opSpawn.
//
//go:nosplit
//go:norace
func spawn(c *child, o *op) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		fail(c, uintptr(e), 0, uintptr(o.exit))
	}
	if pid == 0 {
		syscall.RawSyscall(unix.SYS_DUP3, o.args[3], 0, 0)
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
		syscall.RawSyscall(unix.SYS_EXECVE, o.args[0], o.args[1], o.args[2])
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
		}
	}
	if !ended(pid, int64(o.args[4])) {
		syscall.RawSyscall(unix.SYS_KILL, pid, uintptr(unix.SIGKILL), 0)
		waitStatus(pid)
		fail(c, uintptr(unix.ETIME), 0, uintptr(o.exit))
	}
	if status := waitStatus(pid); status != 0 {
		fail(c, uintptr(unix.ECANCELED), uintptr(status), uintptr(o.exit))
	}
}

// ended waits until pid has ended; false is the time-out, in milliseconds.
//
//go:nosplit
//go:norace
func ended(pid uintptr, ms int64) bool {
	fd, _, e := syscall.RawSyscall(unix.SYS_PIDFD_OPEN, pid, 0, 0)
	if e != 0 {
		return true // wait4 tells
	}
	ts := unix.Timespec{Sec: ms / 1000, Nsec: ms % 1000 * 1e6}
	tsp := unsafe.Pointer(&ts)
	if ms < 0 {
		tsp = nil
	}
	fds := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	var n uintptr
	for {
		// ppoll(2) on Linux writes the time that is left back.
		n, _, e = syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), 1, uintptr(tsp), 0, sigsetSize, 0)
		if e != unix.EINTR {
			break
		}
	}
	syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	return e != 0 || n > 0
}

//go:nosplit
//go:norace
func waitStatus(pid uintptr) uint32 {
	var status uint32
	for {
		_, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, pid, uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		if e != unix.EINTR {
			return status
		}
	}
}
