// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/seccomp"
)

func seccompEarly(l *Launch) bool { return l.filter != nil && !l.spec.Process.NoNewPrivileges }
func seccompLate(l *Launch) bool  { return l.filter != nil && l.spec.Process.NoNewPrivileges }

// compileFilter makes the BPF program of the plan's seccomp profile.
func compileFilter(l *Launch) error {
	if l.spec.Linux.Seccomp == nil {
		return nil
	}
	p, err := seccomp.Compile(l.spec.Linux.Seccomp, seccomp.Native)
	if err != nil {
		return fmt.Errorf("seccomp profile: %w", err)
	}
	if p.Listens() {
		return errors.New("seccomp profile: SCMP_ACT_NOTIFY needs an agent, which this launch has no way to reach")
	}
	l.filter = p
	return nil
}

// loadSeccomp is the last step but exec. The call either loads the whole filter
// or fails; what follows it is execve(2) alone.
func loadSeccomp(c *compiler) {
	const setModeFilter = 1
	c.p.Call("seccomp", fmt.Sprintf("SECCOMP_SET_MODE_FILTER %d instructions", len(c.filter.Filter)),
		unix.SYS_SECCOMP, setModeFilter, int(c.filter.Flags), c.fprog()).Want(0)
}

func (c *compiler) fprog() program.Ptr {
	f := c.filter.Fprog()
	return program.Keep(c.p, &f)
}
