// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/waiting"
)

// tracer holds a child at its exec. A payload that ends at once would be gone
// before systemd has read READY=1, and the start would fail by chance
// ("protocol"). ptrace(2) stops the process when the new program is loaded and
// has not run yet; Resume lets it go.
type tracer struct {
	pid  int
	over bool // it has ended, or was let go
	held bool // at its exec
}

// HoldAtExec makes the child, which waits at a gate, stop at its exec until Resume,
// and end with this process until then: nobody would say that the start has
// succeeded, and the payload would run until that times out. Where the host forbids
// tracing the child is not held: the error says why. All requests for a tracee come
// from the thread that seized it: what follows, up to Resume, is for the goroutine
// that calls this, which keeps its thread.
func (c *Child) HoldAtExec() error {
	runtime.LockOSThread()
	_, _, e := syscall.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(c.PID), 0, unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL, 0, 0)
	if e != 0 {
		runtime.UnlockOSThread()
		return fmt.Errorf("ptrace PTRACE_SEIZE %d: %w", c.PID, e)
	}
	c.tracer = &tracer{pid: c.PID}
	return nil
}

// follow passes signals on until the exec. Without patience it does so only for
// those that have come.
func (t *tracer) follow(patience bool) {
	options := unix.WALL
	if !patience {
		options |= unix.WNOHANG
	}
	for !t.held && !t.over {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(t.pid, &ws, options, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && pid == 0:
			return
		case err != nil || !ws.Stopped():
			t.over = true // it has ended
			return
		case ws.StopSignal() == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
			t.held = true
			return
		}
		signal := int(ws.StopSignal())
		if ws>>16 != 0 {
			signal = 0 // a group stop, no signal to deliver
		}
		_ = unix.PtraceCont(t.pid, signal)
	}
}

// endPatience is for a child that has nothing left to do but to end.
const endPatience = time.Second

// awaitEnd lets a child that was let down end by itself, with a status of its own:
// with this process it would be killed. One that is held at its exec has none.
func (t *tracer) awaitEnd() {
	for begun := time.Now(); time.Since(begun) < endPatience; {
		if t.follow(false); t.held || t.over {
			return
		}
		pause := unix.NsecToTimespec((100 * time.Microsecond).Nanoseconds())
		_ = unix.Nanosleep(&pause, nil)
	}
}

// signalPatience is how long a signal waits that comes before the exec of a child
// which is to be held there: a stop in mid-start is rare.
const signalPatience = 20 // ms

// awaitReport waits until there is something to be read, passes on what
// signals the child gets meanwhile, and tells when that takes long.
func (c *Child) awaitReport() error {
	for told := time.Now(); ; {
		patience := int(waiting.Long.Milliseconds())
		if c.tracer != nil && !c.tracer.over {
			patience = signalPatience
		}
		fds := []unix.PollFd{{Fd: int32(c.report.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, patience)
		if err != nil && !errors.Is(err, unix.EINTR) {
			if c.tracer == nil {
				return nil // reading waits as well, and tells nothing
			}
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
		if c.tracer != nil {
			c.tracer.follow(false)
		}
		if time.Since(told) >= waiting.Long {
			told = time.Now()
			waiting.Tell()
		}
	}
}

// Resume lets a child that HoldAtExec holds run, and an init (Program.Init) go on. It
// may be called twice, and without HoldAtExec.
func (c *Child) Resume() {
	if c.prog != nil && c.prog.init {
		_ = c.Open()
	}
	c.gate.Close()
	t := c.tracer
	if t == nil {
		return
	}
	c.tracer = nil
	if t.follow(true); t.held {
		_ = unix.PtraceDetach(t.pid) // fails only if it was killed
	}
	runtime.UnlockOSThread()
}
