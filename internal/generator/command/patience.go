// SPDX-License-Identifier: Apache-2.0

package command

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long a user's generator may take. Their systemd waits for it
// before anything else starts, for 90 s, which is all the time that a login has
// (TimeoutStartSec= of user@.service). A file of theirs may be on a network or a
// program's file system that does not answer.
const patience = 20 * time.Second

// sigevent is the kernel's (sigevent(3type)), with SIGEV_SIGNAL as the zero value.
type sigevent struct {
	value  uintptr
	signal int32
	_      [64 - 8 - 4]byte
}

// endAfter has the kernel end this process: a thread that waits for a file answers no
// other signal than SIGKILL, and may be the only one.
func endAfter(d time.Duration) {
	event := sigevent{signal: int32(unix.SIGKILL)}
	var timer int32
	if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer))); errno != 0 {
		return // it is not known to fail, and without it all is as it was
	}
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&when)), 0, 0, 0)
}
