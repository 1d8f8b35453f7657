// SPDX-License-Identifier: Apache-2.0

// Package slack has Go's monitor thread (sysmon) wake every millisecond at most, and
// not every 20 µs, while a program begins that ends soon: each time it takes the
// processor from a thread that is in a system call, and another thread goes on where
// nothing waits for it. The kernel lets timers be late by as much as a thread's timer
// slack (prctl(2), PR_SET_TIMERSLACK), and threads and children inherit that; so it is
// raised before Go begins (begin), and whatever is started gets what this program was
// started with.
package slack

import (
	"runtime"
	"syscall"
)

// initial is what this program was started with, in ns; 0 = nothing was raised.
var initial uintptr

const prSetTimerSlack = 29 // linux/prctl.h

// Restore gives the calling thread, and thereby its children, the slack that this
// program was started with. The goroutine has to be tied to its thread until it has
// forked.
func Restore() {
	if initial != 0 {
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, initial, 0)
	}
}

// Run runs what starts another program, or becomes one, on a thread with that slack.
func Run(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	Restore()
	return start()
}
