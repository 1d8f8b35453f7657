// SPDX-License-Identifier: Apache-2.0

package seccomp

// callGroup is some calls of the default profile and why they are in it.
type callGroup struct {
	reason string
	names  []string
	// caps: any of these in the bounding set opens a gated group.
	caps []string
	// compat: the calls of 32-bit ABIs that have no native counterpart of
	// that name.
	compat bool
}

// allowedCalls is systemd's @system-service (systemd.exec(5)), which the
// daemons of a distribution are known to run under, less what deniedCalls and
// gatedCalls name, plus what ordinary images use and systemd leaves out.
var allowedCalls = [...]callGroup{
	{reason: "files: open, read, write, look at and change what file permissions allow", names: []string{
		"access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
		"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
		"fcntl", "fdatasync", "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fremovexattr", "fsetxattr",
		"fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "getxattrat",
		"lchown", "lgetxattr", "link", "linkat", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr",
		"lstat", "mkdir", "mkdirat", "mknod", "mknodat", "msync", "name_to_handle_at", "newfstatat", "open", "openat", "openat2",
		"pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
		"removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "setxattrat", "splice",
		"stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "tee", "truncate", "umask",
		"unlink", "unlinkat", "utime", "utimensat", "utimes", "write", "writev",
	}},
	{reason: "memory of one's own", names: []string{
		"brk", "cachestat", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2",
		"mlockall", "mmap", "mprotect", "mremap", "mseal", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free",
		"pkey_mprotect", "remap_file_pages",
	}},
	{reason: "processes and threads, signals, credentials (the kernel asks for the capability)", names: []string{
		"arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "get_robust_list", "get_thread_area",
		"getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getresgid", "getresuid", "getsid",
		"gettid", "getuid", "kill", "pause", "pidfd_open", "pidfd_send_signal", "prctl", "process_mrelease", "restart_syscall",
		"rseq", "rseq_slice_yield", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
		"rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid",
		"setfsuid", "setgid", "setgroups", "setpgid", "setregid", "setresgid", "setresuid", "setreuid", "setsid", "setuid",
		"sigaltstack", "signalfd", "signalfd4", "tgkill", "tkill", "vfork", "wait4", "waitid",
	}},
	{reason: "scheduling and limits: lowering is free, raising needs CAP_SYS_NICE or CAP_SYS_RESOURCE", names: []string{
		"getcpu", "getpriority", "getrlimit", "getrusage", "ioprio_get", "ioprio_set", "prlimit64", "sched_get_priority_max",
		"sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
		"sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
		"setpriority", "setrlimit", "sysinfo", "times", "uname",
	}},
	{reason: "clocks and timers; adjtimex and clock_adjtime also read, and set only with CAP_SYS_TIME", names: []string{
		"adjtimex", "alarm", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
		"nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
		"timerfd_create", "timerfd_gettime", "timerfd_settime",
	}},
	{reason: "waiting for events; fanotify_mark needs a descriptor of fanotify_init", names: []string{
		"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old",
		"eventfd", "eventfd2", "fanotify_mark", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
		"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "poll", "ppoll", "pselect6", "select",
	}},
	{reason: "the asynchronous I/O of PostgreSQL's and MySQL's age; io_uring is denied", names: []string{
		"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	}},
	{reason: "pipes, System V IPC and message queues, in an IPC namespace of their own", names: []string{
		"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv",
		"msgsnd", "pipe", "pipe2", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
	}},
	{reason: "sockets of the families that socketRules lets through", names: []string{
		"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",
		"recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
	}},
	{reason: "random numbers for every C library's start", names: []string{"getrandom"}},
	{reason: "confining oneself further: none of these can widen what is allowed", names: []string{
		"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
	}},
	{reason: "looking at one's own mounts and security labels", names: []string{
		"listmount", "lsm_get_self_attr", "lsm_list_modules", "statmount",
	}},
	{reason: "the kernel's own trampolines: a host's uprobe on a library would kill the payload", names: []string{
		"uprobe", "uretprobe",
	}},
	{compat: true, reason: "the 32-bit forms of the above, and Arm's private calls that no program there starts without", names: []string{
		"_llseek", "_newselect", "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "chown32",
		"clock_adjtime64", "clock_getres_time64", "clock_gettime64", "clock_nanosleep_time64", "fadvise64_64", "fchown32", "fcntl64",
		"fstat64", "fstatat64", "fstatfs64", "ftruncate64", "futex_time64", "get_tls", "getegid32", "geteuid32", "getgid32",
		"getgroups32", "getresgid32", "getresuid32", "getuid32", "io_pgetevents_time64", "lchown32", "lstat64", "mmap2",
		"mq_timedreceive_time64", "mq_timedsend_time64", "nice", "oldfstat", "oldlstat", "oldolduname", "oldstat", "olduname",
		"ppoll_time64", "pselect6_time64", "readdir", "recv", "recvmmsg_time64", "rt_sigtimedwait_time64",
		"sched_rr_get_interval_time64", "semtimedop_time64", "send", "sendfile64", "set_tls", "setfsgid32", "setfsuid32", "setgid32",
		"setgroups32", "setregid32", "setresgid32", "setresuid32", "setreuid32", "setuid32", "sigaction", "signal", "sigpending",
		"sigprocmask", "sigreturn", "sigsuspend", "stat64", "statfs64", "sync_file_range2", "timer_gettime64", "timer_settime64",
		"timerfd_gettime64", "timerfd_settime64", "truncate64", "ugetrlimit", "utimensat_time64", "waitpid",
	}},
	{compat: true, reason: "glibc for i386 makes all its socket and IPC calls through these two; what lies behind socketcall is in " +
		"memory, so with 32-bit programs allowed the socket families are not filtered", names: []string{"ipc", "socketcall"}},
}

// gatedCalls are open to who has the capability that the kernel asks for them
// in any case; to others they are denied here already, before the code behind
// them can be reached through a user namespace or a mistake in its check.
var gatedCalls = [...]callGroup{
	{reason: "mounts, namespaces and host names: with these a payload can rebuild its own surroundings", caps: []string{"CAP_SYS_ADMIN"},
		names: []string{
			"clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "listns", "lookup_dcookie",
			"lsm_set_self_attr", "mount", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "pivot_root", "quotactl",
			"quotactl_fd", "setdomainname", "sethostname", "setns", "umount", "umount2", "unshare",
		}},
	{reason: "programs for the kernel to run", caps: []string{"CAP_SYS_ADMIN", "CAP_BPF"}, names: []string{"bpf"}},
	{reason: "counters that see other processes and the kernel", caps: []string{"CAP_SYS_ADMIN", "CAP_PERFMON"}, names: []string{"perf_event_open"}},
	{reason: "the host's kernel log", caps: []string{"CAP_SYS_ADMIN", "CAP_SYSLOG"}, names: []string{"syslog"}},
	{reason: "opening files by handle goes round directories' permissions (the shocker exploit of 2014)", caps: []string{"CAP_DAC_READ_SEARCH"},
		names: []string{"open_by_handle_at"}},
	{reason: "the host's power", caps: []string{"CAP_SYS_BOOT"}, names: []string{"reboot"}},
	{reason: "half of the way out of a root directory", caps: []string{"CAP_SYS_CHROOT"}, names: []string{"chroot"}},
	{reason: "code in the kernel", caps: []string{"CAP_SYS_MODULE"}, names: []string{"delete_module", "finit_module", "init_module"}},
	{reason: "accounting of all the host's processes", caps: []string{"CAP_SYS_PACCT"}, names: []string{"acct"}},
	{reason: "memory and descriptors of other processes", caps: []string{"CAP_SYS_PTRACE"}, names: []string{
		"kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
	}},
	{reason: "the ports of the machine's devices", caps: []string{"CAP_SYS_RAWIO"}, names: []string{"ioperm", "iopl"}},
	{reason: "the host's clock", caps: []string{"CAP_SYS_TIME"}, names: []string{"clock_settime", "clock_settime64", "settimeofday", "stime"}},
	{reason: "hanging up a terminal", caps: []string{"CAP_SYS_TTY_CONFIG"}, names: []string{"vhangup"}},
	{reason: "placing memory on NUMA nodes, a rich source of kernel faults", caps: []string{"CAP_SYS_NICE"}, names: []string{
		"get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
	}},
}

// deniedCalls no capability opens; who needs one writes a profile. The answer
// is EPERM, for ENOSYS would say that the kernel is too old.
var deniedCalls = [...]callGroup{
	{reason: "keys outlive the payload and were not made for namespaces", names: []string{"add_key", "keyctl", "request_key"}},
	{reason: "its requests pass by every seccomp filter", names: []string{"io_uring_enter", "io_uring_register", "io_uring_setup"}},
	{reason: "holds the kernel still in the middle of a copy, the tool of most exploits of races", names: []string{"userfaultfd"}},
	{reason: "maps memory into pipes and sockets: Dirty Pipe and its successors", names: []string{"vmsplice"}},
	{reason: "another kernel, another swap", names: []string{"kexec_file_load", "kexec_load", "swapoff", "swapon"}},
	{reason: "segments for 16-bit code, of which the kernel's handling has failed before", names: []string{"modify_ldt", "vm86", "vm86old"}},
}
