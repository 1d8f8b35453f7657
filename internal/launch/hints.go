// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// hint is the cure for an errno that misleads at a step. key is the key of the
// definition that is to blame.
type hint struct {
	step  string
	errno syscall.Errno
	key   string
	cure  string
}

// hints: a report that needed explaining becomes a row here, and a test.
var hints = []hint{
	{"open-rootfs", unix.ENOENT, "rootfs", "create the directory or correct `rootfs:`"},
	{"open-rootfs", unix.ENOTDIR, "rootfs", "`rootfs:` must be a directory"},
	{"open-rootfs", unix.EACCES, "rootfs", "root may not enter it: a network file system, or an LSM; look at `journalctl -k`"},
	{"open-rootfs", unix.EINVAL, "rootfs", "its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, or write `userns_mode: host`, which shares the host's user ids"},
	{"open-mount-sources", unix.EINVAL, "volumes", "its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, write `idmap: false` for the volume, or `userns_mode: host`"},
	{"open-mount-sources", unix.ENOENT, "volumes", "create the source, or write the long form with `bind: {create_host_path: true}`"},
	{"exec-payload", unix.ENOENT, "command", "the program is not inside the root file system, or the interpreter or dynamic linker that it names is missing there"},
	{"exec-payload", unix.EACCES, "command", "the file is not executable for this user; `chmod +x` it, and look for a volume mounted noexec"},
	{"exec-payload", unix.ENOEXEC, "command", "the file is neither a program of this processor architecture nor a script that begins with `#!`"},
	{"exec-payload", unix.EPERM, "command", "refused by no_new_privs, seccomp or an LSM; look at `journalctl -k`"},
	{"exec-payload", unix.ETXTBSY, "command", "the program is being written; start again when that is done"},
	{"exec-payload", unix.E2BIG, "environment", "arguments and environment are too large for execve(2); shorten them"},
	{"change-directory", unix.ENOENT, "working_dir", "the directory is not inside the root file system; create it or correct `working_dir:`"},
	{"change-directory", unix.EACCES, "working_dir", "the container's user may not enter it"},
	{"look-up-user", unix.EACCES, "user", "etc/passwd of the root file system cannot be read"},
	{"clone-payload", unix.ENOSPC, "", "a limit of namespaces is reached: raise /proc/sys/user/max_*_namespaces"},
	{"clone-payload", unix.EPERM, "", "this helper may not make namespaces: it must run as root outside any sandbox (check the unit's drop-ins)"},
	{"mount", unix.EROFS, "rootfs", "a mount point is missing in a read-only root file system; create it there"},
	{"mount", unix.ENOSPC, "", "the limit of mounts is reached: raise /proc/sys/fs/mount-max"},
	{"mount", unix.ELOOP, "volumes", "the destination is a symbolic link that leads nowhere inside the root file system"},
	{"set-sysctls", unix.EINVAL, "sysctls", "the kernel refuses this value"},
	{"set-sysctls", unix.ENOENT, "sysctls", "this kernel does not have that sysctl"},
	{"set-rlimits", unix.EPERM, "ulimits", "a hard limit is above what this host allows: above fs.nr_open for nofile, or above the helper's own without CAP_SYS_RESOURCE; lower it, or raise the unit's with `systemd: {service: {LimitNOFILE: …}}`"},
	{"set-rlimits", unix.EINVAL, "ulimits", "the soft limit is above the hard one"},
	{"set-user", unix.EINVAL, "user", "the id is not mapped in the container's user namespace"},
	{"set-user", unix.EAGAIN, "user", "this user has reached its limit of processes"},
}

func (s *starter) hint(step string, err error) *hint {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return nil
	}
	for i := range hints {
		if hints[i].step == step && hints[i].errno == errno {
			return &hints[i]
		}
	}
	return nil
}
