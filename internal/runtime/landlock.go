// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// LandlockSockets is the first version of Landlock that scopes abstract sockets
// (Linux 6.12).
const LandlockSockets = 6

// Landlock is the version that the kernel has, 0 = it has none, or was booted
// without (landlock(7)).
func Landlock() (version int, err error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == 0:
		return int(v), nil
	case errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EOPNOTSUPP):
		return 0, nil
	}
	return 0, fmt.Errorf("asking for the version of Landlock: %w", errno)
}

func scopesSockets(l *Launch) bool { return l.plan.ScopeSockets }

// scopeSockets puts the payload into a Landlock domain in which it connects to no
// abstract socket that was made outside of it. Nothing else is handled: files and
// ports cost and are refused nothing by it. Nobody can read a domain back, so it is
// tried: a socket that was made before cannot be connected to any more.
func scopeSockets(c *compiler) {
	const addressSize = 2 + 1 + 5 // unix(7), autobind: sun_family, NUL, five digits
	mark := c.p.Mark()
	rules, outside, inside := c.p.Reg(), c.p.Reg(), c.p.Reg()
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET}
	known := int(unsafe.Offsetof(attr.Quiet_access_fs)) // by every kernel that scopes
	c.p.Call("landlock_create_ruleset", "LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET", unix.SYS_LANDLOCK_CREATE_RULESET, program.Keep(c.p, &attr), known, 0).Into(rules)

	address, size := c.p.Bytes(make([]byte, addressSize)), program.Keep(c.p, new(uint32(addressSize)))
	family := program.Keep(c.p, new(uint16(unix.AF_UNIX)))
	socket := func(r program.Reg) {
		c.p.Call("socket", "AF_UNIX SOCK_DGRAM", unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into(r)
	}
	socket(outside)
	c.p.Call("bind", "an abstract name that nobody has", unix.SYS_BIND, outside, family, 2)
	c.p.Call("getsockname", "", unix.SYS_GETSOCKNAME, outside, address, size)
	// Without no_new_privs it needs CAP_SYS_ADMIN.
	c.p.Call("landlock_restrict_self", "", unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0).Want(0)

	var refused program.Label
	socket(inside)
	c.p.Call("connect", "to the socket from before must be refused", unix.SYS_CONNECT, inside, address, addressSize).Skip(&refused, unix.EPERM)
	c.p.Fail("connect", "it is reached: the domain scopes nothing", unix.ENOTRECOVERABLE)
	c.p.Here(&refused)
	for _, r := range []program.Reg{inside, outside, rules} {
		c.close(r)
	}
	c.p.Release(mark)
}
