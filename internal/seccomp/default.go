// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options are the facts that the default profile depends on.
type Options struct {
	// Arch is the native audit architecture, normally Native.
	Arch uint32
	// Bounding is the payload's bounding set, as in the OCI specification
	// (CAP_SYS_ADMIN, …).
	Bounding []string
	// Compat32 admits 32-bit programs (i386 on amd64, arm on arm64).
	Compat32 bool
}

// has tells whether one of caps is in the bounding set.
func (o Options) has(caps ...string) bool {
	return slices.ContainsFunc(caps, func(c string) bool { return slices.Contains(o.Bounding, c) })
}

// Default is the profile of a payload for which the definition names no other:
// known harmless calls are allowed, known dangerous ones answer EPERM unless a
// granted capability opens them, and all others ENOSYS, so that a program
// falls back as on an older kernel. The data is in default_table.go; four
// calls are judged by their arguments.
func Default(o Options) *specs.LinuxSeccomp {
	enosys := uint(unix.ENOSYS)
	allowed := make([]string, 0, 512)
	denied := make([]string, 0, 128)
	for _, g := range allowedCalls {
		if !g.compat || o.Compat32 {
			allowed = append(allowed, g.names...)
		}
	}
	for _, g := range gatedCalls {
		switch {
		case o.has(g.caps...):
			allowed = append(allowed, g.names...)
		default:
			denied = append(denied, g.names...)
		}
	}
	for _, g := range deniedCalls {
		denied = append(denied, g.names...)
	}
	spec := &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: &enosys,
		Architectures:   o.architectures(),
		// Not SPEC_ALLOW, which runc sets if no flag is given.
		Flags: []specs.LinuxSeccompFlag{flagTSync},
	}
	if !o.has("CAP_SYS_ADMIN") {
		// These two are denied in part, or with another errno.
		denied = slices.DeleteFunc(denied, func(name string) bool { return name == "clone" || name == "clone3" })
		spec.Syscalls = cloneRules()
	}
	spec.Syscalls = append(spec.Syscalls, allow(allowed...), deny(unix.EPERM, denied...))
	spec.Syscalls = append(spec.Syscalls, socketRules(o)...)
	spec.Syscalls = append(spec.Syscalls, personalityRules()...)
	spec.Syscalls = append(spec.Syscalls, ioctlRules()...)
	return spec
}

// architectures is the native one, alone unless 32-bit programs are wanted:
// each further one doubles the kernel's surface and offers its own ways round
// (socketcall).
func (o Options) architectures() []specs.Arch {
	all := abisOf(o.Arch)
	if all == nil {
		return nil
	}
	archs := []specs.Arch{all[0].arch}
	for _, b := range all[1:] {
		if o.Compat32 && !b.isX32() {
			archs = append(archs, b.arch)
		}
	}
	return archs
}

func allow(names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
}

func deny(errno unix.Errno, names ...string) specs.LinuxSyscall {
	ret := uint(errno)
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &ret}
}

// when adds arguments to a rule.
func when(s specs.LinuxSyscall, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	s.Args = args
	return s
}

// is compares an argument that the kernel takes as int. It looks at the low
// half alone, as the kernel does: with all 64 bits, TIOCSTI with a bit set
// above the 32nd would be another number (CVE-2019-10063), and a caller that
// left rubbish there, as the ABI lets it, would be refused.
func is(index uint, value uint32) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Op: specs.OpMaskedEqual, Value: 1<<32 - 1, ValueTwo: uint64(value)}
}

// anything holds for every value. A rule with it catches what the rules of the
// same call before it leave; one without arguments would take all of them. In
// libseccomp, which sorts the rules of a call, >= comes behind masks too, so
// that the profile means the same to another runtime.
func anything(index uint) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Op: specs.OpGreaterEqual, Value: 0}
}

// namespaces are the flags of clone(2) that make one. CLONE_NEWTIME is not
// among them: its bit belongs to the exit signal there.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// cloneRules let threads and processes be made, but no namespace: a user
// namespace inside opens the kernel code that most privilege escalations of
// the last years went through (CVE-2022-0185, CVE-2024-1086). The arguments
// of clone3 lie in memory, where no filter sees them; with ENOSYS the C
// libraries take clone.
func cloneRules() []specs.LinuxSyscall {
	none := specs.LinuxSeccompArg{Index: 0, Op: specs.OpMaskedEqual, Value: namespaces, ValueTwo: 0}
	return []specs.LinuxSyscall{
		when(allow("clone"), none),
		when(deny(unix.EPERM, "clone"), anything(0)),
		deny(unix.ENOSYS, "clone3"),
	}
}

// socketFamily is one kind of socket and why it is let through. With netlink
// set, the protocol counts too.
type socketFamily struct {
	reason           string
	family, protocol uint32
	netlink          bool
	caps             []string
}

// socketFamilies: each family that is left out is kernel code that an image
// can't reach, and a module that it can't have loaded. AF_ALG (CVE-2026-31431),
// AF_VSOCK (reaches the hypervisor), AF_KEY and AF_RXRPC are left out on purpose.
var socketFamilies = [...]socketFamily{
	{reason: "local services", family: unix.AF_UNIX},
	{reason: "IPv4", family: unix.AF_INET},
	{reason: "IPv6", family: unix.AF_INET6},
	{reason: "getifaddrs(3) and routes", family: unix.AF_NETLINK, netlink: true, protocol: unix.NETLINK_ROUTE},
	{reason: "ss(8), the state of sockets", family: unix.AF_NETLINK, netlink: true, protocol: unix.NETLINK_SOCK_DIAG},
	{reason: "libudev; hears nothing without the host's network", family: unix.AF_NETLINK, netlink: true, protocol: unix.NETLINK_KOBJECT_UEVENT},
	{reason: "nl80211 and taskstats, each with its own checks", family: unix.AF_NETLINK, netlink: true, protocol: unix.NETLINK_GENERIC},
	{reason: "audit records of PAM and sshd", family: unix.AF_NETLINK, netlink: true, protocol: unix.NETLINK_AUDIT,
		caps: []string{"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_AUDIT_READ"}},
	{reason: "netfilter, IPsec and the rest of network administration", family: unix.AF_NETLINK, caps: []string{"CAP_NET_ADMIN"}},
	{reason: "tcpdump and DHCP clients", family: unix.AF_PACKET, caps: []string{"CAP_NET_RAW"}},
}

// socketRules answer EAFNOSUPPORT to what is left out: programs expect it of a
// kernel built without, and PAM takes no other word for the audit socket.
func socketRules(o Options) []specs.LinuxSyscall {
	var rules []specs.LinuxSyscall
	for _, f := range socketFamilies {
		if f.caps != nil && !o.has(f.caps...) {
			continue
		}
		args := []specs.LinuxSeccompArg{is(0, f.family)}
		if f.netlink {
			args = append(args, is(2, f.protocol))
		}
		rules = append(rules, when(allow("socket"), args...))
	}
	return append(rules,
		when(allow("socketpair"), is(0, unix.AF_UNIX)),
		when(deny(unix.EAFNOSUPPORT, "socket", "socketpair"), anything(0)))
}

// personalities that change what uname(2) says and nothing else, and the
// question for the present one (personality(2)). ADDR_NO_RANDOMIZE and
// READ_IMPLIES_EXEC, which weaken a program, are not among them.
var personalities = [...]uint32{0, perLinux32, uname26, uname26 | perLinux32, 0xffffffff}

const (
	perLinux32 = 0x0008
	uname26    = 0x0020000
)

func personalityRules() []specs.LinuxSyscall {
	var rules []specs.LinuxSyscall
	for _, p := range personalities {
		rules = append(rules, when(allow("personality"), is(0, p)))
	}
	return append(rules, when(deny(unix.EPERM, "personality"), anything(0)))
}

// ioctlRules deny the two requests that type into a terminal which others use.
func ioctlRules() []specs.LinuxSyscall {
	return []specs.LinuxSyscall{
		when(deny(unix.EPERM, "ioctl"), is(1, unix.TIOCSTI)),
		when(deny(unix.EPERM, "ioctl"), is(1, unix.TIOCLINUX)),
		when(allow("ioctl"), anything(1)),
	}
}
