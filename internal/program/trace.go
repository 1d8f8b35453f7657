// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// tracer holds a child at its exec. A payload that ends at once would be gone
// before systemd has read READY=1, and the start would fail by chance
// ("protocol"). ptrace(2) stops the process when the new program is loaded and
// has not run yet; Resume lets it go.
type tracer struct {
	resume chan struct{}
	done   chan struct{}
}

// HoldAtExec makes the child stop at its exec until Resume. Where the host
// forbids tracing the child is not held: the error says why.
func (c *Child) HoldAtExec() error {
	t := &tracer{resume: make(chan struct{}), done: make(chan struct{})}
	seized := make(chan error)
	go func() {
		// All requests for a tracee come from the thread that seized it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(t.done)
		_, _, e := syscall.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(c.PID), 0, unix.PTRACE_O_TRACEEXEC, 0, 0)
		if e != 0 {
			seized <- fmt.Errorf("ptrace PTRACE_SEIZE %d: %w", c.PID, e)
			return
		}
		seized <- nil
		t.follow(c.PID)
	}()
	if err := <-seized; err != nil {
		return err
	}
	c.tracer = t
	return nil
}

// follow passes signals on until the exec, waits for Resume there and detaches.
func (t *tracer) follow(pid int) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(pid, &ws, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || !ws.Stopped() {
			return // it has ended
		}
		if ws.StopSignal() == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC {
			<-t.resume
			_ = unix.PtraceDetach(pid) // fails only if it was killed
			return
		}
		signal := int(ws.StopSignal())
		if ws>>16 != 0 {
			signal = 0 // a group stop, no signal to deliver
		}
		_ = unix.PtraceCont(pid, signal)
	}
}

// Resume lets a child that HoldAtExec holds run, and an init (Program.Init)
// end. It may be called twice, and without HoldAtExec.
func (c *Child) Resume() {
	c.gate.Close()
	if c.tracer == nil {
		return
	}
	close(c.tracer.resume)
	<-c.tracer.done
	c.tracer = nil
}
