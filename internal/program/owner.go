// SPDX-License-Identifier: Apache-2.0

package program

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner are effective ids for the moment of a clone: a user namespace belongs to who
// makes it, and what its members take of what the kernel counts by user (inotify(7)
// instances, queued signals, message queues) is taken from that user, too
// (inc_ucount in kernel/ucount.c). The zero value leaves them as they are.
type Owner struct{ UID, GID uint32 }

// own makes this thread, which is locked, act by these ids with the capabilities that it
// has. back undoes it.
func (o Owner) own() (back func() syscall.Errno, errno syscall.Errno) {
	if o == (Owner{}) {
		return func() syscall.Errno { return 0 }, 0
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return nil, errnoOf(err)
	}
	// A change of ids takes the memory's away (commit_creds in kernel/cred.c).
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	uid, gid := uint32(unix.Geteuid()), uint32(unix.Getegid())
	back = func() syscall.Errno {
		errno := effective(uid, gid, &header, &caps[0])
		if dumpable == 1 && errno == 0 {
			errno = errnoOf(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
		}
		return errno
	}
	if errno := effective(o.UID, o.GID, &header, &caps[0]); errno != 0 {
		back()
		return nil, errno
	}
	return back, 0
}

// effective changes the ids of this thread alone, where package syscall would change
// those of all.
func effective(uid, gid uint32, header *unix.CapUserHeader, caps *unix.CapUserData) syscall.Errno {
	const same = ^uintptr(0)
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, same, uintptr(gid), same); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); e != 0 {
		return e
	}
	// Those in effect go with an effective id of 0 (capabilities(7)).
	return errnoOf(unix.Capset(header, caps))
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	errno, _ := err.(syscall.Errno)
	return errno
}
