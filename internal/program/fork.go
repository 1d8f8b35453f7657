// SPDX-License-Identifier: Apache-2.0

package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/slack"
)

// Fork's hooks into the Go runtime, the same that syscall.forkAndExecInChild
// uses: signals are blocked and the stack is fenced from just before the clone.
//
//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// ForkOptions say what the child is born into.
type ForkOptions struct {
	// Flags are CLONE_* of clone3(2). With CLONE_PARENT the child is a sibling:
	// PID 1's own child when PID 1 started this process.
	Flags uint64
	// CgroupDir is a directory of cgroup v2 to be born in, -1 = the caller's.
	// Being born there costs nothing; being moved waits for an RCU grace period.
	CgroupDir int
	// StopAt names a step at which the child stops and waits for the parent's
	// death. Tests arm it; "" = none.
	StopAt string
	// Shared runs the child in this process's memory (CLONE_VM) in place of a
	// copy, which saves the copying of page tables and a fault for each page that
	// either writes. It is for a child that soon execs or exits and that nobody
	// else may trace; where it cannot be, see CanShare, the child gets its copy.
	Shared bool
	// Owner are the ids of the host to which a new user namespace belongs.
	Owner Owner
}

// Child is a forked child that runs a program.
type Child struct {
	PID    int // in the caller's PID namespace
	first  int // as forked
	prog   *Program
	page   *page
	mem    []byte
	report *os.File   // read end
	gate   *os.File   // write end
	theirs []*os.File // the child's ends, while it has no descriptors of its own
	state  *child
	tracer *tracer // nil = the child is not held at its exec
}

// AwaitGate adds a call that waits for Child.Open.
func (p *Program) AwaitGate(what string) *Call {
	buf := p.Bytes(make([]byte, 1))
	return p.Call(what, "", unix.SYS_READ, gateFD, buf, 1).Want(1)
}

// AwaitEnd adds a call that waits for Child.Close, or for the parent's end.
func (p *Program) AwaitEnd(what string) *Call {
	return p.Call(what, "", unix.SYS_READ, gateFD, p.Bytes(make([]byte, 1)), 1)
}

// Sync adds calls that tell the parent how far the child came (AwaitSync) and
// wait for Child.Open.
func (p *Program) Sync(what string) {
	p.Call("write", what, unix.SYS_WRITE, reportFD, p.Bytes(make([]byte, 1)), 1).Want(1)
	p.AwaitGate(what)
}

// gateFD and reportFD stand in arguments for the descriptors that Fork makes.
const gateFD = ^uintptr(0) - 4096

const reportFD = ^uintptr(0) - 4097

// Fork clones a child that runs p.
func (p *Program) Fork(opt ForkOptions) (*Child, error) {
	c, err := newChild()
	if err != nil {
		return nil, err
	}
	c.load(p, opt.StopAt)
	// The child must not hold the parent's ends: the gate would never close.
	c.state.close = [3]uintptr{c.report.Fd(), c.gate.Fd(), c.gate.Fd()}
	if err := c.clone(opt); err != nil {
		return nil, err
	}
	c.closeTheirs()
	return c, nil
}

// newChild makes what parent and child tell each other by.
func newChild() (*Child, error) {
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(page{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mapping the shared page: %w", err)
	}
	reportR, reportW, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("opening the report pipe: %w", err)
	}
	gateR, gateW, err := pipe()
	if err != nil {
		return nil, fmt.Errorf("opening the gate pipe: %w", err)
	}
	c := &Child{page: (*page)(unsafe.Pointer(&mem[0])), mem: mem, report: reportR, gate: gateW, theirs: []*os.File{reportW, gateR}}
	c.state = &child{page: c.page, report: reportW.Fd(), gate: gateR.Fd(), stopAt: -1}
	return c, nil
}

// pipe is os.Pipe without its poller, which nobody here waits with.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// load gives the child its program.
func (c *Child) load(p *Program, stopAt string) {
	c.prog = p
	c.state.ops, c.state.n, c.state.stopAt = &p.ops[0], len(p.ops), p.stopOp(stopAt)
	p.bind(c.state)
}

func (c *Child) clone(opt ForkOptions) error {
	pid, errno := fork(c.state, opt)
	if errno != 0 {
		c.Close()
		return &os.SyscallError{Syscall: "clone3", Err: errno}
	}
	c.PID, c.first = pid, pid
	if c.state.stack != nil {
		pinned = append(pinned, c)
	}
	return nil
}

// pinned are the children that read this process's memory, for as long as it
// lives: when they have ended nobody tells.
var pinned []*Child

// CanShare tells whether ForkOptions.Shared has an effect here.
func CanShare() bool { return canShare }

func (c *Child) closeTheirs() {
	for _, f := range c.theirs {
		f.Close()
	}
	c.theirs = nil
}

// bind puts the real descriptors where the program says gateFD and reportFD.
func (p *Program) bind(c *child) {
	for i := range p.ops {
		for j, a := range p.ops[i].args {
			switch a {
			case gateFD:
				p.ops[i].args[j] = c.gate
			case reportFD:
				p.ops[i].args[j] = c.report
			}
		}
	}
}

func (p *Program) stopOp(step string) int32 {
	if step != "" {
		for i := range p.ops {
			if p.ops[i].kind == opStep && p.notes[i].what == step {
				return int32(i)
			}
		}
	}
	return -1
}

// cloneArgs is struct clone_args of linux/sched.h in its second size (88 bytes,
// Linux 5.7, the one with cgroup).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
	cgroup                                        uint64
}

// fork makes the child. It is the only function in which parent and child
// part; nothing that allocates may stand between the two runtime hooks.
//
//go:norace
func fork(c *child, opt ForkOptions) (int, syscall.Errno) {
	args := &cloneArgs{flags: opt.Flags, exitSignal: uint64(unix.SIGCHLD)}
	if opt.Flags&unix.CLONE_PARENT != 0 {
		args.exitSignal = 0 // clone3(2): the parent's own is inherited
	}
	if opt.CgroupDir >= 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(opt.CgroupDir)
	}
	if opt.Shared && canShare {
		args.flags |= unix.CLONE_VM
		c.stack = make([]byte, stackSize)
		args.stack = uint64(uintptr(unsafe.Pointer(&c.stack[0]))+15) &^ 15
		args.stackSize = stackSize - 16
	}
	if c.parent != 0 {
		args.flags |= unix.CLONE_FILES | unix.CLONE_PIDFD
		args.pidfd = uint64(uintptr(unsafe.Pointer(&c.pidfd)))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack.Restore()
	back, e := opt.Owner.own()
	if e != 0 {
		return 0, e
	}
	syscall.ForkLock.Lock()
	runtimeBeforeFork()
	r, e := rawFork(args, c)
	runtimeAfterFork()
	syscall.ForkLock.Unlock()
	if notBack := back(); e == 0 {
		e = notBack
	}
	runtime.KeepAlive(args)
	runtime.KeepAlive(c)
	return int(r), e
}

// stackSize is many times what the child's code takes, which calls nothing deep.
const stackSize = 16 << 10

//go:nosplit
//go:noinline
//go:norace
func rawFork(args *cloneArgs, c *child) (uintptr, syscall.Errno) {
	if args.flags&unix.CLONE_VM != 0 {
		r := cloneShared(args, unsafe.Sizeof(*args), c)
		if r > ^uintptr(4095) {
			return 0, syscall.Errno(-r)
		}
		return r, 0
	}
	r, _, e := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
	if e != 0 || r != 0 {
		return r, e
	}
	begin(c)
	return 0, 0 // not reached
}

// Open lets the child pass the next AwaitGate.
func (c *Child) Open() error {
	_, err := c.gate.Write([]byte{0})
	return err
}

// ErrStopped is the error of AwaitExec when the child reached ForkOptions.StopAt.
var ErrStopped = errors.New("the child reached the step at which it was to stop")

// ErrKilled is a child that has ended without a word.
var ErrKilled = errors.New("the process was killed during this step")

// OpError is a call of the child that failed, or whose result or read-back
// differs from what was demanded (Err is EBADE then).
type OpError struct {
	Step, What, Detail string
	Exit               int // the child's exit status
	Got                uint64
	Err                error
}

func (e *OpError) Error() string {
	s := e.Step + ": " + e.What
	if e.Detail != "" {
		s += " " + e.Detail
	}
	if errors.Is(e.Err, unix.EBADE) {
		return fmt.Sprintf("%s: read back a value that was not asked for (%#x)", s, e.Got)
	}
	if errors.Is(e.Err, unix.ECANCELED) && e.Got != 0 {
		if ws := unix.WaitStatus(e.Got); ws.Signaled() {
			return fmt.Sprintf("%s: killed by %s", s, unix.SignalName(ws.Signal()))
		}
		return fmt.Sprintf("%s: exited with status %d", s, e.Got>>8&0xff)
	}
	return s + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }

// AwaitExec waits until the child has replaced itself (nil), has failed
// (*OpError; it then waits for Close before it exits) or died.
func (c *Child) AwaitExec() error {
	synced, err := c.await()
	if synced && err == nil {
		return errors.New("the child waits at a point that nobody awaits")
	}
	return err
}

// AwaitSync waits until the child has come to a Sync; errors are those of
// AwaitExec.
func (c *Child) AwaitSync() error {
	synced, err := c.await()
	if !synced && err == nil {
		return errors.New("the child has gone past the point at which it was awaited")
	}
	return err
}

func (c *Child) await() (synced bool, err error) {
	if err := c.awaitReport(); err != nil {
		return false, err
	}
	b := make([]byte, 1)
	n, err := c.report.Read(b)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading the report pipe: %w", err)
	}
	c.settle()
	i := int(c.page.op)
	step, what, detail := c.prog.Describe(i)
	exit := int(c.prog.ops[i].exit)
	switch {
	case c.page.kill != 0:
		return false, ErrStopped
	case c.page.failed != 0:
		return false, &OpError{step, what, detail, exit, c.page.got, syscall.Errno(c.page.errno)}
	case n == 1:
		return true, nil
	case i != len(c.prog.ops)-1 && !c.execs(i):
		return false, &OpError{step, what, detail, exit, 0, ErrKilled}
	}
	return false, nil
}

// Doing names the step and the call that the child is at, for the one who waits for
// it meanwhile.
func (c *Child) Doing() string {
	step, what, _ := c.prog.Describe(int(atomic.LoadUint32(&c.page.op)))
	return step + ": " + what
}

func (c *Child) execs(i int) bool {
	nr := c.prog.ops[i].nr
	return c.prog.ops[i].kind == opCall && (nr == unix.SYS_EXECVE || nr == unix.SYS_EXECVEAT)
}

// StepTime is when a step began, on CLOCK_MONOTONIC.
type StepTime struct {
	Name  string
	Start time.Duration
}

// Times gives the steps that the child has reached.
func (c *Child) Times() []StepTime {
	var out []StepTime
	for i, s := range c.prog.steps {
		if t := c.page.times[i]; t != 0 {
			out = append(out, StepTime{s.Name, time.Duration(t)})
		}
	}
	return out
}

// Kill ends the child, whichever process goes on with the program.
func (c *Child) Kill() error {
	pid := c.first
	if reborn := atomic.LoadUint32(&c.page.reborn); reborn != 0 {
		pid = int(reborn)
	}
	return unix.Kill(pid, unix.SIGKILL)
}

// Close closes the parent's ends: a child that waits at the gate exits.
func (c *Child) Close() {
	c.dismiss()
	c.gate.Close()
	c.report.Close()
	c.closeTheirs()
	if c.tracer != nil {
		c.tracer.awaitEnd()
	}
}

// Abandon is Close, and tells the child its exit status.
func (c *Child) Abandon(exit int) {
	atomic.StoreUint32(&c.page.verdict, uint32(exit))
	c.Close()
}
