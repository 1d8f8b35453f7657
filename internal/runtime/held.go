// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// A container of the OCI command line is made by one process and started by
// another one, so its first process waits in between, at a FIFO and not for a
// parent.

func held(l *Launch) bool { return l.opt.StartFIFO != nil }

// AwaitCreated waits until the child is ready for its start. The caller then
// writes down what exists and calls Child.Open; until then the child ends with
// this process, and after that it waits at the FIFO.
func (l *Launch) AwaitCreated(child *program.Child) error {
	err := child.AwaitSync()
	l.closeConsole()
	return err
}

// findProgram looks for the program as execPayload will, with the payload's
// own rights. What is found may still be no program; start tells.
func findProgram(c *compiler) {
	var found program.Label
	candidates := execCandidates(c.spec.Process.Args[0], c.spec.Process.Env)
	for i, path := range candidates {
		var next program.Label
		call := c.p.Call("faccessat2", path+" X_OK", unix.SYS_FACCESSAT2, unix.AT_FDCWD, c.p.Str(path), unix.X_OK, unix.AT_EACCESS)
		if i < len(candidates)-1 {
			call.Skip(&next, unix.ENOENT, unix.ENOTDIR, unix.EACCES)
			c.p.Jump(&found)
			c.p.Here(&next)
		}
	}
	if len(candidates) == 0 {
		c.p.Fail("faccessat2", c.spec.Process.Args[0]+": PATH has no absolute directory", unix.ENOENT)
	}
	c.p.Here(&found)
}

// awaitStart closes what is the host's at once, for the container exists from
// now on and others may join it.
func awaitStart(c *compiler) {
	fifo := int(c.opt.StartFIFO.Fd())
	keep := []any{c.proc, fifo}
	if hasStartContainerHooks(c.Launch) {
		if c.err = c.openState(); c.err != nil {
			return
		}
		keep = append(keep, int(c.hookState.Fd()))
	}
	if c.agent != nil {
		keep = append(keep, int(c.agent.socket.Fd()))
	}
	if !protection.Off("close-descriptors") {
		c.p.CloseFrom("close_range", 3+c.opt.PreserveFDs, keep...)
	}
	c.p.Sync("created")
	mark := c.p.Mark()
	w := c.p.Reg()
	// The private procfs leads to this very process's descriptors; the open
	// waits for a reader.
	c.p.Call("openat", fmt.Sprintf("the FIFO, thread-self/fd/%d", fifo), unix.SYS_OPENAT, c.proc, c.p.Str(fmt.Sprintf("thread-self/fd/%d", fifo)), unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(w)
	c.p.Report("report to start", w)
	c.close(w)
	c.p.Release(mark)
}
