// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/runtime"
)

// hint is the cure for an errno that misleads at a step. key is the key of the
// definition that is to blame.
type hint struct {
	step  string // "" = any
	errno syscall.Errno
	key   string
	cure  string
	call  string // what the failed call's name begins with, "" = any
	is    error  // what the error must be besides, nil = nothing
}

// The limits of namespaces(7) are sysctls of one name each.
const raiseNamespaces = "raise it (`sysctl user` shows them: user.max_user_namespaces, user.max_mnt_namespaces and so on)"

const readOnlyRun = "/run must be writable for the helper: a drop-in of the unit makes it read-only (ProtectSystem=, ReadOnlyPaths=)"

// hints: a report that needed explaining becomes a row here, and a test. The
// first row that fits is used.
var hints = []hint{
	{step: "build-plan", errno: unix.ENOSPC, cure: fullRun},
	{step: "write-state", errno: unix.ENOSPC, cure: fullRun},
	{step: "bind-notify-socket", errno: unix.ENOSPC, cure: fullRun},
	{step: "claim-network", errno: unix.ENOSPC, cure: fullRun},
	{step: "connect-network", errno: unix.ENOSPC, cure: fullRun},
	{step: "prepare-relay", errno: unix.ENOSPC, cure: fullRun},
	{step: "build-plan", errno: unix.EROFS, call: "symlink", cure: readOnlyRun}, // of a range of ids
	{step: "build-plan", errno: unix.EROFS, call: "mkdir", cure: readOnlyRun},   // of the first one
	{step: "write-state", errno: unix.EROFS, cure: readOnlyRun},

	{step: "open-notify-socket", errno: unix.EAFNOSUPPORT, cure: "a drop-in of the unit keeps the helper from opening sockets: take RestrictAddressFamilies= out of it"},
	{step: "claim-network", errno: unix.EROFS, cure: readOnlyRun},
	{step: "claim-network", errno: unix.EPERM, cure: noNetAdmin},
	{step: "connect-network", errno: unix.EPERM, cure: noNetAdmin},
	{step: "connect-network", errno: unix.EROFS, cure: "/proc/sys must be writable for the helper: a drop-in of the unit makes it read-only (ProtectKernelTunables=)"},
	{step: "mount-scratch", errno: unix.EPERM, call: "mknodat", cure: "the helper may not make device nodes: a drop-in of the unit forbids it (PrivateDevices=, CapabilityBoundingSet=)"},

	{step: "create-user-namespace", errno: unix.EINVAL, call: "clone3", key: "userns_mode", cure: "this kernel has no user namespaces (CONFIG_USER_NS): boot one that has, or write `userns_mode: host`, which shares the host's user ids"},
	{step: "create-user-namespace", errno: unix.ENOSPC, key: "userns_mode", cure: "a limit of namespaces is 0 or reached: " + raiseNamespaces + ", or write `userns_mode: host`, which shares the host's user ids"},
	{step: "create-user-namespace", errno: unix.EUSERS, key: "userns_mode", cure: "a limit of namespaces is 0 or reached: " + raiseNamespaces + ", or write `userns_mode: host`, which shares the host's user ids"},
	{step: "create-user-namespace", errno: unix.EPERM, key: "userns_mode", cure: "this helper may not make user namespaces: it is in a chroot or in a container itself, or an LSM refuses (`journalctl -k`); write `userns_mode: host`, which shares the host's user ids"},
	{step: "create-user-namespace", errno: unix.ENOSYS, cure: "a drop-in of the unit forbids namespaces (RestrictNamespaces=, SystemCallFilter=), or the kernel is too old: remove it, or update"},
	{step: "clone-payload", errno: unix.ENOSPC, cure: "a limit of namespaces is 0 or reached: " + raiseNamespaces + "; or that of mounts: /proc/sys/fs/mount-max"},
	{step: "clone-payload", errno: unix.EPERM, cure: "this helper may not make namespaces: it must run as root outside any sandbox (check the unit's drop-ins)"},
	{step: "clone-payload", errno: unix.ENOSYS, cure: "a drop-in of the unit forbids namespaces (RestrictNamespaces=, SystemCallFilter=), or the kernel is too old: remove it, or update"},
	{step: "clone-payload", errno: unix.EINVAL, cure: "this kernel lacks a kind of namespace that the container is to have (CONFIG_NAMESPACES and below)"},
	{step: "enter-time-namespace", errno: unix.EINVAL, cure: "this kernel has no time namespaces (CONFIG_TIME_NS)"},
	{step: "join-namespaces", errno: unix.EINVAL, cure: "what is joined is not a namespace of this kind, or is of a user namespace that cannot be joined from here"},

	{step: "open-rootfs", errno: unix.ENOENT, key: "rootfs", cure: "create the directory or correct `rootfs:`"},
	{step: "open-rootfs", errno: unix.ENOTDIR, key: "rootfs", cure: "`rootfs:` must be a directory"},
	{step: "open-rootfs", errno: unix.EACCES, key: "rootfs", cure: "root may not enter it: a network file system, or an LSM; look at `journalctl -k`"},
	{step: "open-rootfs", errno: unix.ELOOP, key: "rootfs", cure: "its path is a loop of symbolic links; correct `rootfs:`"},
	{step: "open-rootfs", errno: unix.EINVAL, is: runtime.ErrIDMap, key: "rootfs", cure: "its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, or write `userns_mode: host`, which shares the host's user ids"},
	{step: "open-rootfs", errno: unix.ENOSPC, key: "rootfs", cure: noMounts},
	{step: "open-mount-sources", errno: unix.EINVAL, is: runtime.ErrIDMap, key: "volumes", cure: "its file system cannot be id-mapped by this kernel: move it to ext4, xfs or btrfs, write `idmap: false` for the volume, or `userns_mode: host`"},
	{step: "open-mount-sources", errno: unix.ENOENT, key: "volumes", cure: "create the source (a socket is made by its daemon: start that first), or write the long form with `bind: {create_host_path: true}`"},
	{step: "open-mount-sources", errno: unix.EACCES, key: "volumes", cure: "root may not enter the source: a network file system, or an LSM; look at `journalctl -k`"},
	{step: "open-mount-sources", errno: unix.ENOSPC, key: "volumes", cure: noMounts},
	{step: "open-mount-sources", errno: unix.EROFS, key: "volumes", cure: "the source cannot be created on a read-only file system; correct its path"},
	{step: "open-mount-sources", errno: unix.EXDEV, key: "volumes", cure: "`subpath:` leads out of its volume; name a directory in it"},
	{step: "mount", errno: unix.EROFS, key: "rootfs", cure: "a mount point is missing in a read-only root file system; create it there"},
	{step: "mount", errno: unix.ENOSPC, call: "mk", key: "rootfs", cure: "its file system is full (bytes or inodes), so that a mount point cannot be made: look with `df` and `df -i`"},
	{step: "mount", errno: unix.EDQUOT, key: "rootfs", cure: "a quota of its file system is used up, so that a mount point cannot be made"},
	{step: "mount", errno: unix.ELOOP, key: "volumes", cure: "the destination is a symbolic link that leads nowhere inside the root file system"},
	{step: "mount", errno: unix.EEXIST, key: "volumes", cure: "a part of the destination is there inside the root file system and is no directory"},
	{step: "mount", errno: unix.ENOTDIR, key: "volumes", cure: "a part of the destination is a file inside the root file system"},
	{step: "mount", errno: unix.EINVAL, call: "move_mount", key: "volumes", cure: "a directory fits on a directory only, and a file on a file: source and destination are of different kinds"},
	{step: "mount", errno: unix.EINVAL, call: "fsconfig", key: "volumes", cure: "the file system refuses this option or its value"},
	{step: "mount", errno: unix.ENODEV, call: "fsopen", cure: "this kernel does not have that file system; load its module with modules-load.d(5)"},
	{step: "mount", errno: unix.EACCES, key: "volumes", cure: "refused by an LSM; look at `journalctl -k`"},
	{step: "mount", errno: unix.EPERM, cure: "refused: an LSM (`journalctl -k`), or unitc runs in a container whose /proc or /sys is masked in part"},
	{step: "open-procfs", errno: unix.EPERM, cure: "refused: an LSM (`journalctl -k`), or unitc runs in a container whose /proc is masked in part"},
	{step: "create-devices", errno: unix.EPERM, key: "devices", cure: "the helper may not make device nodes: unitc runs in a container, or a drop-in of the unit takes CAP_MKNOD away"},

	{step: "prepare-cgroup", errno: unix.ENOENT, cure: noCgroup2},
	{step: "prepare-cgroup", errno: unix.EACCES, cure: noCgroup2},
	{step: "join-scope", errno: unix.ENOENT, cure: noCgroup2},
	{step: "join-scope", errno: unix.EACCES, cure: noCgroup2},
	{step: "join-scope", errno: unix.EROFS, cure: noCgroup2},
	{step: "mount-cgroup", errno: unix.ENODEV, cure: noCgroup2},
	{step: "unshare-cgroup", errno: unix.EINVAL, cure: "this kernel has no cgroup namespaces (CONFIG_CGROUPS)"},

	{step: "move-network-devices", errno: unix.ENODEV, key: "net-devices", cure: "the host has no interface of that name (`ip link`), nor got one within 5 seconds; correct the name, or order the unit after what makes it"},
	{step: "set-sysctls", errno: unix.EINVAL, key: "sysctls", cure: "the kernel refuses this value"},
	{step: "set-sysctls", errno: unix.ERANGE, key: "sysctls", cure: "the kernel refuses this value"},
	{step: "set-sysctls", errno: unix.ENOENT, key: "sysctls", cure: "this kernel does not have that sysctl, or has it outside namespaces only"},
	{step: "set-sysctls", errno: unix.EACCES, key: "sysctls", cure: "this sysctl cannot be written"},
	{step: "scope-abstract-sockets", errno: unix.E2BIG, key: "security_opt", cure: "unitc runs in as many Landlock domains as can be (landlock(7)): write `landlock=unconfined`, and the payload reaches abstract sockets of the host's"},
	{step: "scope-abstract-sockets", errno: unix.EPERM, key: "security_opt", cure: "a drop-in of the unit forbids it (SystemCallFilter=): take that out, or write `landlock=unconfined`, and the payload reaches abstract sockets of the host's"},
	{step: "set-rlimits", errno: unix.EPERM, key: "ulimits", cure: "a hard limit is above what this host allows: above fs.nr_open for nofile, or above the helper's own without CAP_SYS_RESOURCE; lower it, or raise the unit's with `systemctl edit` (LimitNOFILE= and its kind in [Service])"},
	{step: "set-rlimits", errno: unix.EINVAL, key: "ulimits", cure: "the soft limit is above the hard one"},
	{step: "set-oom-score", errno: unix.EACCES, key: "oom_score_adj", cure: "lowering it needs CAP_SYS_RESOURCE, which a drop-in of the unit takes away; raise the value"},
	{step: "set-scheduler", errno: unix.EPERM, cure: "real-time scheduling is refused: the cgroup has no real-time budget, or CAP_SYS_NICE is taken away"},
	{step: "set-memory-policy", errno: unix.EINVAL, cure: "a node is not there, or not among those of `cpuset`"},

	{step: "look-up-user", is: runtime.ErrNoUser, key: "user", cure: "write a name that its etc/passwd, or of a group etc/group, has, or a number"},
	{step: "look-up-user", is: runtime.ErrNoGroup, key: "group_add", cure: "write a name that its etc/group has, or a number"},
	{step: "look-up-user", errno: unix.EACCES, key: "user", cure: "etc/passwd of the root file system cannot be read"},
	{step: "set-user", errno: unix.EINVAL, key: "user", cure: "the id is not mapped in the container's user namespace"},
	{step: "set-user", errno: unix.EAGAIN, key: "user", cure: "this user has reached its limit of processes"},
	{step: "set-apparmor-profile", errno: unix.ENOENT, key: "security_opt", cure: "no profile of that name is loaded (`aa-status`); load it with apparmor_parser(8), or remove the option"},
	{step: "set-apparmor-profile", errno: unix.EINVAL, key: "security_opt", cure: "the name is not one of a profile; correct or remove the option"},
	{step: "set-apparmor-profile", errno: unix.EACCES, key: "security_opt", cure: "the helper's own profile lets it enter no other (`journalctl -k`)"},
	{step: "set-apparmor-profile", is: runtime.ErrNoAppArmor, key: "security_opt", cure: "remove `apparmor=`, or boot with apparmor=1 security=apparmor"},
	{step: "set-selinux-label", is: runtime.ErrNoSELinux, key: "security_opt", cure: "remove `label=`, or boot with SELinux (lsm=…,selinux)"},
	{step: "set-selinux-label", errno: unix.EINVAL, key: "security_opt", cure: "the loaded policy does not know that label; correct or remove it"},
	{step: "set-selinux-label", errno: unix.EACCES, key: "security_opt", cure: "the policy does not let the helper set labels (`ausearch -m avc`)"},
	{step: "compile-seccomp", errno: unix.ENOENT, call: "connect", key: "security_opt", cure: noAgent},
	{step: "compile-seccomp", errno: unix.ECONNREFUSED, call: "connect", key: "security_opt", cure: noAgent},
	{step: "compile-seccomp", errno: unix.EAGAIN, call: "connect", key: "security_opt", cure: "the profile's agent listens and does not accept: restart it, or see what it waits for (`ss -xl` shows how many connections wait)"},
	{step: "join-resctrl", errno: unix.ENOSPC, cure: "the processor has no more classes or monitors: remove groups below /sys/fs/resctrl, or name one of them in closID"},
	{step: "join-resctrl", errno: unix.EINVAL, cure: "the kernel refuses the schema: /sys/fs/resctrl/info says what this processor takes"},
	{step: "load-seccomp", errno: unix.EBUSY, key: "security_opt", cure: "the process has a filter with an agent already, and the kernel lets it have one: this helper runs under one"},
	{step: "load-seccomp", errno: unix.EINVAL, key: "security_opt", cure: badFilter},
	{step: "load-seccomp-early", errno: unix.EINVAL, key: "security_opt", cure: badFilter},
	{step: "load-seccomp", errno: unix.ENOMEM, key: "security_opt", cure: "filters of this process are longer than 32,768 instructions together (seccomp(2)); shorten the profile"},

	{step: "change-directory", errno: unix.ENOENT, key: "working_dir", cure: "the directory is not inside the root file system; create it or correct `working_dir:`"},
	{step: "change-directory", errno: unix.ENOTDIR, key: "working_dir", cure: "`working_dir:` must be a directory"},
	{step: "change-directory", errno: unix.EACCES, key: "working_dir", cure: "the container's user may not enter it"},
	{step: "exec-payload", errno: unix.ENOENT, key: "command", cure: "the program is not inside the root file system, or the interpreter or dynamic linker that it names is missing there"},
	{step: "exec-payload", errno: unix.EACCES, key: "command", cure: "the container's user may not execute it, or may not enter a directory above it; or an LSM refuses (`journalctl -k`)"},
	{step: "exec-payload", errno: unix.ENOEXEC, key: "command", cure: "the file is neither a program of this processor architecture nor a script that begins with `#!`"},
	{step: "exec-payload", errno: unix.ELIBBAD, key: "command", cure: "its dynamic linker is not of this processor architecture"},
	{step: "exec-payload", errno: unix.ELOOP, key: "command", cure: "its path is a loop of symbolic links, or its interpreters name each other"},
	{step: "exec-payload", errno: unix.EPERM, key: "command", cure: "refused by the seccomp profile or an LSM (`journalctl -k`); a profile must allow execve"},
	{step: "exec-payload", errno: unix.ENOSYS, key: "security_opt", cure: "refused by the seccomp profile: it must allow execve"},
	{step: "exec-payload", errno: unix.ETXTBSY, key: "command", cure: "the program is being written; start again when that is done"},
	{step: "exec-payload", errno: unix.E2BIG, key: "environment", cure: "arguments and environment are too large for execve(2); shorten them"},
	{step: "exec-payload", errno: unix.EAGAIN, call: "execve", key: "ulimits", cure: "its user has more processes than nproc of `ulimits:` allows; those of the host's user of that number count with `userns_mode: host`"},
	{step: "exec-payload", is: program.ErrKilled, key: "security_opt", cure: "by the seccomp profile, which must allow execve, or for want of memory (`mem_limit:`)"},
	{step: "exec-payload", errno: unix.ENOMEM, key: "command", cure: "the memory limit is too small to start the program; raise `mem_limit:`"},

	{step: "redirect-stdio", errno: unix.EBADF, call: "dup3", key: "ulimits", cure: "nofile of `ulimits:` is too small for the three standard streams; raise it"},
	{step: "start-init", errno: unix.EAGAIN, key: "pids_limit", cure: "a limit lets it have one process, and with `init: true` there are two: raise `pids_limit:`, or nproc of `ulimits:`"},
	{step: "prepare-relay", errno: unix.EAGAIN, key: "pids_limit", cure: noProcesses}, // fork(2) is Go's
	{step: "attach-rootfs", errno: unix.EINVAL, call: "mount", key: "image", cure: "the file system that images are on takes no overlay (an overlay itself, NFS and others do not; `unitc df` says where it is, `findmnt -T` what): have it on ext4, xfs, btrfs or tmpfs"},

	// Wherever it happens.
	{errno: unix.ENOSPC, call: "move_mount", cure: "the limit of mounts is reached: raise /proc/sys/fs/mount-max"},
	{errno: unix.EPERM, call: "move_mount", cure: denied},
	{errno: unix.EPERM, call: "mount", cure: denied},
	{errno: unix.EPERM, call: "pivot_root", cure: denied},
	{errno: unix.EAGAIN, call: "clone", key: "pids_limit", cure: noProcesses},
	{errno: unix.EFBIG, cure: "a drop-in of the unit limits the size of files for the helper: take LimitFSIZE= out of it, and write `ulimits: {fsize: …}` for the payload"},
	{errno: unix.EMFILE, cure: noDescriptors},
	{errno: unix.ENFILE, cure: noHostDescriptors},
	{errno: unix.ENOMEM, cure: "the kernel has no memory left for this"},
	{errno: unix.ENOSYS, cure: "this kernel does not have the call, or a drop-in of the unit refuses it (SystemCallFilter=)"},
}

// noteNosuid says what no errno will say: the payload runs, and finds that its
// set-id programs are none.
func (s *starter) noteNosuid() {
	if s.launch.IgnoresSetID() {
		fmt.Fprintln(journal.Stderr, "<4>"+nosuidRoot)
	}
}

// noteUnmapped is about what a program that reads a host finds unreadable.
func (s *starter) noteUnmapped() {
	for _, source := range s.launch.Unmapped() {
		fmt.Fprintf(journal.Stderr, "<4>volumes: %s has mounts in it that cannot be id-mapped, as /proc: its files are nobody's inside, and root there reads what everybody may; write `noidmap` at the volume if that is meant, or `userns_mode: host`\n", source)
	}
}

const (
	nosuidRoot = "rootfs: its file system is mounted nosuid: set-user-id programs and file capabilities in it give nothing, whatever `security_opt: [no-new-privileges=false]` says; mount it without nosuid (findmnt -T), or move it"
	noCgroup2  = "/sys/fs/cgroup must show cgroup v2 and be writable for the helper: boot with systemd.unified_cgroup_hierarchy=1, and look for a drop-in of the unit that hides it (ProtectControlGroups=, InaccessiblePaths=)"
	noNetAdmin = "the helper needs CAP_NET_ADMIN of the host: a drop-in of the unit takes it away (CapabilityBoundingSet=, PrivateUsers=)"
	denied     = "refused: an LSM (`journalctl -k`), or unitc runs in a container, which lets nobody mount"
	noMounts   = "a limit is reached: that of mounts (/proc/sys/fs/mount-max), or that of their namespaces (user.max_mnt_namespaces), of which each detached mount is one: raise it"
	// What starts the container is counted where it is in the payload's cgroup.
	noProcesses       = "no more processes may be made: raise `pids_limit:`, which with `runtime:` and `cgroup: service` counts what starts the container too, or TasksMax= of a drop-in; or the host has no more (kernel.pid_max, kernel.threads-max)"
	fullRun           = "/run is full: look with `df /run` and `df -i /run`"
	noAgent           = "the profile's agent does not listen at its listenerPath: start it before this unit (`systemd: {unit: {After: …, Requires: …}}`)"
	badFilter         = "the kernel refuses the filter: it has more than 4,096 instructions, or the profile asks for a flag or an action that this kernel does not have"
	noDescriptors     = "the helper has no descriptors left, of which each volume takes one: raise LimitNOFILE= of the unit with `systemctl edit`"
	noHostDescriptors = "the host has no descriptors left: raise /proc/sys/fs/file-max"
)

func (s *starter) hint(step string, err error) *hint {
	var errno syscall.Errno
	errors.As(err, &errno) // 0 = no call has failed
	if step == "drop-bounding-set" || step == "set-capabilities" || step == "verify-privileges" {
		if h := s.capabilityHint(); h != nil {
			return h
		}
	}
	for i := range hints {
		h := &hints[i]
		if h.errno != errno || h.step != "" && h.step != step || h.is != nil && !errors.Is(err, h.is) || !strings.HasPrefix(failedCall(err), h.call) {
			continue
		}
		if step == "exec-payload" && s.launch != nil && s.child != nil {
			if text := s.launch.ExplainExec(s.child.PID, err); text != "" {
				return &hint{key: h.key, cure: text}
			}
		}
		return h
	}
	return nil
}

// capabilityHint names what is asked for and this process itself has not, which
// the errno of a whole set does not tell.
func (s *starter) capabilityHint() *hint {
	if s.plan == nil || s.service == nil || s.plan.Spec.Process.Capabilities == nil {
		return nil
	}
	missing := runtime.MissingCapabilities(s.plan.Spec.Process.Capabilities.Bounding)
	if len(missing) == 0 {
		return nil
	}
	key := "cap_add"
	if s.service.Privileged {
		key = "privileged"
	}
	return &hint{key: key, cure: "root of this host does not have " + strings.Join(missing, ", ") +
		": the host is a container itself, or a drop-in of the unit takes it away (CapabilityBoundingSet=); give it back, or write `cap_drop: [" + strings.Join(missing, ", ") + "]`"}
}

// failedCall is the name of the system call that failed, where it is known.
func failedCall(err error) string {
	var inner *program.OpError
	var outer *os.SyscallError
	var link *os.LinkError
	switch {
	case errors.As(err, &link):
		return link.Op
	case errors.As(err, &inner):
		return inner.What
	case errors.As(err, &outer):
		return outer.Syscall
	}
	return ""
}
