// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's side of project quotas: quotactl_fd(2) (Linux 5.14), which asks
// by a descriptor and not by a device, in the words that every file system with
// quotas understands, and the file attributes of ioctl_xfs_fsgetxattr(2).

const (
	prjQuota = 2 // PRJQUOTA of linux/quota.h

	qGetQuota  = 0x800007 // Q_GETQUOTA
	qSetQuota  = 0x800008 // Q_SETQUOTA
	qGetStatus = 0x5808   // Q_XGETQSTATV

	validBlockLimits = 1       // QIF_BLIMITS
	projectEnforced  = 1 << 5  // FS_QUOTA_PDQ_ENFD
	projectInherit   = 0x200   // FS_XFLAG_PROJINHERIT
	quotaBlock       = 1 << 10 // QIF_DQBLKSIZE

	ioctlGetAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	ioctlSetAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
)

// diskQuota is struct if_dqblk.
type diskQuota struct {
	hardBlocks, softBlocks, space  uint64
	hardInodes, softInodes, inodes uint64
	blockGraceTime, inodeGraceTime uint64
	valid, _                       uint32
}

// fileAttributes is struct fsxattr.
type fileAttributes struct {
	flags, extentSize, extents, project, cowExtentSize uint32
	_                                                  [8]byte
}

func quotactl(f *os.File, command uintptr, id uint32, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, f.Fd(), command<<8|prjQuota, uintptr(id), uintptr(arg), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("quotactl_fd", errno)
	}
	return nil
}

// enforced tells why limits of projects would not be kept.
func enforced(f *os.File) error {
	var status [256]byte // struct fs_quota_statv: version, a pad, and flags of 16 bits
	status[0] = 1
	if err := quotactl(f, qGetStatus, 0, unsafe.Pointer(&status)); err != nil {
		return err
	}
	if flags := *(*uint16)(unsafe.Pointer(&status[2])); flags&projectEnforced == 0 {
		return errors.New("it is mounted without prjquota")
	}
	return nil
}

// setLimit bounds the blocks of a project; 0 is no limit.
func setLimit(f *os.File, project uint32, size int64) error {
	q := diskQuota{hardBlocks: uint64(size) / quotaBlock, valid: validBlockLimits}
	return quotactl(f, qSetQuota, project, unsafe.Pointer(&q))
}

// getUsage of a project that nobody has used is zero.
func getUsage(f *os.File, project uint32) (VolumeUsage, error) {
	var q diskQuota
	err := quotactl(f, qGetQuota, project, unsafe.Pointer(&q))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) { // as XFS says it
		return VolumeUsage{}, nil
	}
	return VolumeUsage{Used: int64(q.space), Limit: int64(q.hardBlocks * quotaBlock)}, err
}

// setProject makes a file one of a project, and of a directory what is created
// in it, and reads it back.
func setProject(f *os.File, project uint32) error {
	want, err := getAttributes(f)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	want.project = project
	if st.IsDir() {
		want.flags |= projectInherit
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlSetAttributes, uintptr(unsafe.Pointer(&want))); errno != 0 {
		return os.NewSyscallError("FS_IOC_FSSETXATTR", errno)
	}
	have, err := getAttributes(f)
	if err == nil && (have.project != project || have.flags&projectInherit != want.flags&projectInherit) {
		err = fmt.Errorf("FS_IOC_FSGETXATTR: project %d, flags %#x", have.project, have.flags)
	}
	return err
}

func getAttributes(f *os.File) (a fileAttributes, err error) {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctlGetAttributes, uintptr(unsafe.Pointer(&a))); errno != 0 {
		err = os.NewSyscallError("FS_IOC_FSGETXATTR", errno)
	}
	return a, err
}
