// SPDX-License-Identifier: Apache-2.0

package planner

import "github.com/opencontainers/runtime-spec/specs-go"

// defaultCapabilities is the bounding set of a root payload. What Docker gives
// beyond it: MKNOD and NET_RAW (kernel attack surface: CVE-2020-13401,
// CVE-2020-14386), AUDIT_WRITE (writes the host's audit log), SETFCAP, SETPCAP,
// SYS_CHROOT (no ordinary daemon needs them under no_new_privs).
var defaultCapabilities = []string{
	"CAP_CHOWN",            // entrypoints chown their data directories
	"CAP_DAC_OVERRIDE",     // root reads files of the users it serves
	"CAP_FOWNER",           // chmod of files it does not own
	"CAP_FSETID",           // keeps setgid bits while doing so
	"CAP_KILL",             // a root master signals its workers
	"CAP_NET_BIND_SERVICE", // ports below 1024
	"CAP_SETGID",           // dropping to the service's user
	"CAP_SETUID",
}

// maskedPaths hide what tells about, or reaches, the host's kernel.
var maskedPaths = []string{
	"/proc/acpi",                    // hardware control
	"/proc/asound",                  // hardware
	"/proc/config.gz",               // tells an attacker what to try
	"/proc/interrupts",              // keystroke timing side channel (moby GHSA-6fw5-f8r9-fgfm)
	"/proc/kallsyms",                // kernel addresses
	"/proc/kcore",                   // physical memory
	"/proc/key-users",               // keyrings are not namespaced
	"/proc/keys",                    // the same
	"/proc/kmsg",                    // the host's kernel log
	"/proc/kpagecgroup",             // physical memory maps
	"/proc/kpagecount",              // the same
	"/proc/kpageflags",              // the same
	"/proc/latency_stats",           // host-wide
	"/proc/sched_debug",             // host-wide: names of all processes
	"/proc/scsi",                    // hardware control
	"/proc/slabinfo",                // heap layout
	"/proc/timer_list",              // kernel addresses
	"/proc/timer_stats",             // host-wide
	"/proc/vmallocinfo",             // kernel addresses
	"/sys/devices/virtual/dmi",      // serial numbers
	"/sys/devices/virtual/powercap", // power side channel (PLATYPUS, CVE-2020-8694)
	"/sys/firmware",                 // EFI variables, ACPI tables
	"/sys/fs/bpf",                   // pinned programs of the host
	"/sys/fs/selinux",               // policy interface
	"/sys/kernel/config",            // configfs
	"/sys/kernel/debug",             // debugfs
	"/sys/kernel/notes",             // build id
	"/sys/kernel/security",          // LSM interfaces
	"/sys/kernel/slab",              // heap layout
	"/sys/kernel/tracing",           // tracefs
	"/sys/kernel/vmcoreinfo",        // kernel addresses
	"/sys/module",                   // parameters and section addresses
}

// readonlyPaths are needed for reading only.
var readonlyPaths = []string{
	"/proc/bus",           // PCI configuration space
	"/proc/fs",            // knobs of file systems
	"/proc/irq",           // affinity of the host's interrupts
	"/proc/sys",           // sysctls
	"/proc/sysrq-trigger", // reboots the host
}

// defaultMounts in the order in which they are made. /dev's nodes and links
// are the runtime's own (OCI runtime-spec, config-linux.md, default devices).
var defaultMounts = []specs.Mount{
	{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}},
	{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
	{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
	{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
}

// hostMounts complete `rootfs: host`: the host's /usr is seen read-only, the
// rest of the tree is the payload's own and vanishes with it. What a program
// from a Debian package reads below /etc to run at all is bound read-only; none
// of it is secret.
var hostMounts = []specs.Mount{
	{Destination: "/usr", Type: "bind", Source: "/usr", Options: []string{"rbind", "ro", "nosuid", "nodev", "rprivate"}},
}

// hostEtc are the host's files below /etc that a `rootfs: host` payload sees,
// where the host has them.
var hostEtc = []string{
	"/etc/alternatives",    // links of /usr/bin (update-alternatives)
	"/etc/ca-certificates", // TLS roots
	"/etc/ca-certificates.conf",
	"/etc/default/locale",
	"/etc/fonts",
	"/etc/gai.conf", // getaddrinfo
	"/etc/group",    // names of the host's groups
	"/etc/host.conf",
	"/etc/hostname", // with network_mode: host alone
	"/etc/hosts",    // likewise
	"/etc/inputrc",
	"/etc/ld.so.cache", // the dynamic linker
	"/etc/ld.so.conf",
	"/etc/ld.so.conf.d",
	"/etc/localtime",
	"/etc/magic",
	"/etc/mime.types",
	"/etc/nsswitch.conf",
	"/etc/os-release",
	"/etc/passwd", // names of the host's users; hashes are in shadow, which is not here
	"/etc/pki/tls/certs",
	"/etc/protocols",
	"/etc/resolv.conf", // likewise
	"/etc/services",
	"/etc/ssl/certs",
	"/etc/ssl/openssl.cnf",
	"/etc/terminfo",
	"/etc/timezone",
}

// hostNames are members of hostEtc that belong to the host's network.
var hostNames = []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// defaultRlimits: a soft limit of 1024 open files keeps programs that use
// select(2), or close every descriptor in a loop, working; the hard limit is
// systemd's own default (systemd-system.conf(5)).
var defaultRlimits = []specs.POSIXRlimit{
	{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
	{Type: "RLIMIT_MEMLOCK", Soft: 8 << 20, Hard: 8 << 20},
	{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288},
}

// defaultPath is the search path where neither image nor definition has one.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
