// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/protection"
)

// capabilityNames by number (linux/capability.h).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// capabilityMask is a set as the kernel keeps it: bit n is capability n. A
// name that nobody knows is an error, never dropped.
func capabilityMask(names []string) (uint64, error) {
	var mask uint64
next:
	for _, name := range names {
		for i, known := range capabilityNames {
			if strings.TrimPrefix(name, "CAP_") == known {
				mask |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("unknown capability %q", name)
	}
	return mask, nil
}

// IsCapability tells whether it is the name of one.
func IsCapability(name string) bool {
	_, err := capabilityMask([]string{name})
	return err == nil
}

// capabilitySets are the five sets of the plan.
type capabilitySets struct{ bounding, effective, permitted, inheritable, ambient uint64 }

func (c *compiler) capabilities() capabilitySets {
	var s capabilitySets
	caps := c.spec.Process.Capabilities
	if caps == nil {
		return s
	}
	for _, set := range []struct {
		names []string
		mask  *uint64
	}{
		{caps.Bounding, &s.bounding}, {caps.Effective, &s.effective}, {caps.Permitted, &s.permitted},
		{caps.Inheritable, &s.inheritable}, {caps.Ambient, &s.ambient},
	} {
		mask, err := capabilityMask(set.names)
		if err != nil {
			c.err = err
		}
		*set.mask = mask & kernelCapabilities()
	}
	// No others can be raised (capabilities(7)). `runc spec` writes ambient sets
	// without an inheritable one, and means none.
	s.ambient &= s.permitted & s.inheritable
	return s
}

// kernelCapabilities are those that the running kernel has (CAP_LAST_CAP).
var kernelCapabilities = sync.OnceValue(func() uint64 {
	last := len(capabilityNames) - 1
	if b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			last = n
		}
	}
	return 1<<(last+1) - 1
})

// MissingCapabilities are those of names that the kernel knows and this thread
// does not have.
func MissingCapabilities(names []string) (missing []string) {
	want, err := capabilityMask(names)
	if err != nil {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil
	}
	have := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	for i := range capabilityNames {
		if want&kernelCapabilities()&^have>>i&1 == 1 {
			missing = append(missing, capabilityNames[i])
		}
	}
	return missing
}

// GrantableCapabilities takes out of a process's sets what no kernel, this kernel
// or this thread could give it, and names it, sorted. own = it gets a user
// namespace, in which all are to be had.
func GrantableCapabilities(p *specs.Process, own bool) (left []string) {
	if p.Capabilities == nil {
		return nil
	}
	have := kernelCapabilities()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err == nil && !own {
		have &= uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	}
	caps := *p.Capabilities
	for _, set := range []*[]string{&caps.Bounding, &caps.Effective, &caps.Permitted, &caps.Inheritable, &caps.Ambient} {
		*set = slices.DeleteFunc(slices.Clone(*set), func(name string) bool {
			mask, err := capabilityMask([]string{name})
			drop := err != nil || mask&^have != 0
			if drop {
				left = append(left, name)
			}
			return drop
		})
	}
	p.Capabilities = &caps
	slices.Sort(left)
	return slices.Compact(left)
}

// dropBounding takes every capability that the kernel knows, named or not, out
// of the bounding set unless the plan has it.
func dropBounding(c *compiler) {
	drop := kernelCapabilities() &^ c.capabilities().bounding
	c.p.Bits("prctl", "PR_CAPBSET_DROP", capabilityList(drop), drop, nil, unix.SYS_PRCTL, 1, unix.PR_CAPBSET_DROP, 0, 0, 0, 0)
}

// capabilityList names a set.
func capabilityList(mask uint64) (names []string) {
	for i := range 64 {
		switch {
		case mask>>i&1 == 0:
		case i < len(capabilityNames):
			names = append(names, capabilityNames[i])
		default:
			names = append(names, strconv.Itoa(i))
		}
	}
	return names
}

// capHeader is struct __user_cap_header_struct for this process, version 3.
func capHeader() []byte {
	b := make([]byte, 8)
	binary.NativeEndian.PutUint32(b, unix.LINUX_CAPABILITY_VERSION_3)
	return b
}

// capData is struct __user_cap_data_struct[2].
func (s capabilitySets) capData() []byte {
	b := make([]byte, 24)
	for i := range 2 {
		shift := 32 * i
		binary.NativeEndian.PutUint32(b[12*i:], uint32(s.effective>>shift))
		binary.NativeEndian.PutUint32(b[12*i+4:], uint32(s.permitted>>shift))
		binary.NativeEndian.PutUint32(b[12*i+8:], uint32(s.inheritable>>shift))
	}
	return b
}

func setCapabilities(c *compiler) {
	s := c.interimCapabilities()
	// A caller's ambient set would survive capset (CVE-2022-24769 and its kind).
	if protection.Off("clear-inherited") {
		return
	}
	c.p.Call("prctl", "PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	c.p.Call("capset", fmt.Sprintf("effective=%#x permitted=%#x inheritable=%#x", s.effective, s.permitted, s.inheritable),
		unix.SYS_CAPSET, c.p.Bytes(capHeader()), c.p.Bytes(s.capData()))
	for i := range capabilityNames {
		if s.ambient>>i&1 == 1 {
			c.p.Call("prctl", "PR_CAP_AMBIENT_RAISE "+capabilityNames[i], unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, i, 0, 0)
		}
	}
	c.p.Call("prctl", "PR_SET_KEEPCAPS 0", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 0, 0, 0, 0)
}

// interimCapabilities are those until the seccomp filter is loaded.
func (c *compiler) interimCapabilities() capabilitySets {
	s := c.capabilities()
	if keepsAdmin(c.Launch) {
		s.effective |= 1 << unix.CAP_SYS_ADMIN
		s.permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	return s
}

// verifyCapabilities reads all five sets back.
func (c *compiler) verifyCapabilities() {
	s := c.interimCapabilities()
	got := make([]byte, 24)
	c.p.Call("capget", "", unix.SYS_CAPGET, c.p.Bytes(capHeader()), c.p.Bytes(got))
	c.p.Compare("capget", "effective, permitted, inheritable", got, s.capData())
	known := kernelCapabilities()
	c.p.Bits("prctl", "PR_CAPBSET_READ", nil, known, &s.bounding, unix.SYS_PRCTL, 1, unix.PR_CAPBSET_READ, 0, 0, 0, 0)
	c.p.Bits("prctl", "PR_CAP_AMBIENT_IS_SET", nil, known, &s.ambient, unix.SYS_PRCTL, 2, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, 0, 0, 0)
}
