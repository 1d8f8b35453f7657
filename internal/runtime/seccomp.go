// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/seccomp"
)

// Without no_new_privs seccomp(2) needs CAP_SYS_ADMIN. The process keeps that
// until the filter is loaded, last of all, and only gives it up under the
// filter: a profile need not allow what the other steps call. An init is split
// off before that and may not keep it, so with one the filter comes early.
func seccompEarly(l *Launch) bool {
	return l.filter != nil && !l.spec.Process.NoNewPrivileges && l.plan.Init
}
func seccompLate(l *Launch) bool { return l.filter != nil && !seccompEarly(l) }
func keepsAdmin(l *Launch) bool  { return seccompLate(l) && !l.spec.Process.NoNewPrivileges }

// dropAdmin gives up what the filter has cost, and reads that back where the
// filter lets it.
func dropAdmin(c *compiler) {
	s := c.capabilities()
	got := make([]byte, 24)
	var denied program.Label
	c.p.Call("capset", "without SYS_ADMIN", unix.SYS_CAPSET, c.p.Bytes(capHeader()), c.p.Bytes(s.capData())).Want(0)
	c.p.Call("capget", "", unix.SYS_CAPGET, c.p.Bytes(capHeader()), c.p.Bytes(got)).Skip(&denied, unix.EPERM, unix.ENOSYS, unix.EACCES)
	c.p.Compare("capget", "effective, permitted, inheritable", got, s.capData())
	c.p.Here(&denied)
}

// compileFilter makes the BPF program of the plan's seccomp profile.
func compileFilter(l *Launch) error {
	if err := readFilter(l); err != nil || l.filter == nil || !l.filter.Listens() {
		return err
	}
	return connectAgent(l)
}

func readFilter(l *Launch) error {
	if l.spec.Linux.Seccomp == nil {
		return nil
	}
	p, err := seccomp.Compile(l.spec.Linux.Seccomp, seccomp.Native)
	if err != nil {
		return fmt.Errorf("seccomp profile: %w", err)
	}
	l.filter = p
	return nil
}

// loadSeccomp is the last step but exec. The call either loads the whole filter
// or fails; what follows it is execve(2) alone, and before it the message to an
// agent where there is one.
func loadSeccomp(c *compiler) {
	const setModeFilter = 1
	if c.agent != nil {
		c.agentIsTold()
	}
	load := c.p.Call("seccomp", fmt.Sprintf("SECCOMP_SET_MODE_FILTER %d instructions", len(c.filter.Filter)),
		unix.SYS_SECCOMP, setModeFilter, int(c.filter.Flags), c.fprog())
	if c.agent == nil {
		load.Want(0)
		return
	}
	listener := c.p.Reg()
	load.Into(listener)
	c.sendListener(listener)
}

func (c *compiler) fprog() program.Ptr {
	f := c.filter.Fprog()
	return program.Keep(c.p, &f)
}
