// SPDX-License-Identifier: Apache-2.0

package program

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const sigsetSize = 8

// splitInit returns in the new process only; see Program.Init.
//
//go:nosplit
//go:norace
func splitInit(c *child, stop, exit uintptr) {
	// Blocked signals are kept for PID 1 of a namespace too, which otherwise
	// ignores those without a handler (pid_namespaces(7)).
	all, none := ^uint64(0), uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, sigsetSize, 0, 0)
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		fail(c, uintptr(e), 0, exit)
	}
	if pid == 0 {
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, sigsetSize, 0, 0)
		return
	}
	awaitResume(c, pid)
	reap(c, pid, stop)
}

// awaitResume returns when the parent has said that the payload runs (Resume), or has
// ended without: then there is no payload. Signals wait meanwhile.
//
//go:nosplit
//go:norace
func awaitResume(c *child, payload uintptr) {
	// The report pipe must close when the payload execs.
	if c.gate > 3 {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 3, c.gate-1, 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, c.gate+1, uintptr(^uint32(0)), 0)
	for {
		var b [1]byte
		r, _, e := syscall.RawSyscall(unix.SYS_READ, c.gate, uintptr(unsafe.Pointer(&b)), 1)
		if e == unix.EINTR {
			continue
		}
		// One that has failed ends by itself, with a status of its own.
		if r != 1 && c.page.failed == 0 {
			syscall.RawSyscall(unix.SYS_KILL, payload, uintptr(unix.SIGKILL), 0)
		}
		break
	}
	syscall.RawSyscall(unix.SYS_CLOSE, c.gate, 0, 0)
}

// reap is the rest of an init's life.
//
//go:nosplit
//go:norace
func reap(c *child, payload, stop uintptr) {
	all := ^uint64(0)
	for {
		sig, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), 0, 0, sigsetSize, 0, 0)
		if e != 0 {
			continue
		}
		if sig != uintptr(unix.SIGCHLD) {
			if sig == uintptr(unix.SIGTERM) && stop != 0 {
				sig = stop
			}
			syscall.RawSyscall(unix.SYS_KILL, payload, sig, 0)
			continue
		}
		for {
			var status uint32
			pid, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&status)), unix.WNOHANG, 0, 0, 0)
			if e != 0 || pid == 0 {
				break
			}
			if pid == payload {
				code := uintptr(status>>8) & 0xff
				if signal := uintptr(status & 0x7f); signal != 0 {
					code = 128 + signal
				}
				if stop != 0 && code == 128+stop {
					code = 128 + uintptr(unix.SIGTERM)
				}
				if c.page.verdict != 0 {
					code = uintptr(c.page.verdict)
				}
				for {
					syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
				}
			}
		}
	}
}
