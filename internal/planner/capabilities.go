// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// allCapabilities in the order of the kernel's numbers (linux/capability.h,
// Linux 5.9 and later end with CHECKPOINT_RESTORE).
var allCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capabilities follows Docker's order: ALL first, then what is added, then
// what is dropped, so that `cap_drop: [ALL]` with `cap_add: [CHOWN]` gives
// CHOWN alone. Inheritable and ambient sets stay empty (CVE-2022-24769).
func (b *builder) capabilities() error {
	set := slices.Clone(defaultCapabilities)
	if b.s.Privileged || slices.Contains(b.s.CapAdd, "ALL") {
		set = slices.Clone(allCapabilities)
	}
	if slices.Contains(b.s.CapDrop, "ALL") {
		set = nil
	}
	for _, c := range b.s.CapAdd {
		if c == "ALL" {
			continue
		}
		if !slices.Contains(allCapabilities, c) {
			return &KeyError{"cap_add", fmt.Sprintf("unknown capability %q", c), "see capabilities(7) for the names"}
		}
		if !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	for _, c := range b.s.CapDrop {
		if c != "ALL" && !slices.Contains(allCapabilities, c) {
			return &KeyError{"cap_drop", fmt.Sprintf("unknown capability %q", c), "see capabilities(7) for the names"}
		}
		set = slices.DeleteFunc(set, func(have string) bool { return have == c })
	}
	slices.SortFunc(set, func(x, y string) int { return slices.Index(allCapabilities, x) - slices.Index(allCapabilities, y) })
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: set, Permitted: slices.Clone(set), Effective: slices.Clone(set)}
	return nil
}
