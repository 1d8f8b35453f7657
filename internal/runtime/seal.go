// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/slack"
)

// Seal keeps a payload that shares the host's user ids from writing to this
// very program through /proc/PID/exe (CVE-2019-5736): the program starts once
// more from a private, read-only mount of its own file, and that is what the
// link leads to. It returns only when that has been done, or with an error; it
// belongs before anything is opened that a second start would lose. env is
// added to the environment. With a user namespace the file's owner is not
// mapped, so that the start need not be paid for: see SealFor.
func Seal(env ...string) error {
	if protection.Off("seal") {
		return nil
	}
	sealed, err := isSealed()
	if err != nil || sealed {
		return err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree /proc/self/exe: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr /proc/self/exe MOUNT_ATTR_RDONLY: %w", err)
	}
	argv, err := syscall.SlicePtrFromStrings(os.Args)
	if err != nil {
		return err
	}
	// With one processor Go starts fewer threads and has less to wake: 0.3 ms.
	env = append(env, "GOMAXPROCS=1")
	envv, err := syscall.SlicePtrFromStrings(append(os.Environ(), env...))
	if err != nil {
		return err
	}
	var empty [1]byte
	return slack.Run(func() error {
		_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
			uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
		return fmt.Errorf("execveat of the sealed program: %w", errno)
	})
}

// SealFor is Seal before an Exec into the container of pid, where that shares
// this process's user namespace.
func SealFor(pid int) error {
	own, err := namespaceName("user", "")
	if err != nil {
		return err
	}
	other, err := namespaceName("user", fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil || other != own {
		return err
	}
	return Seal()
}

// isSealed reads back whether this program was started from a read-only mount.
func isSealed() (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs("/proc/self/exe", &st); err != nil {
		return false, fmt.Errorf("statfs /proc/self/exe: %w", err)
	}
	return st.Flags&unix.ST_RDONLY != 0, nil
}
