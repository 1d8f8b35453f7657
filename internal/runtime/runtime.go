// SPDX-License-Identifier: Apache-2.0

// Package runtime turns a plan into a running payload. It works in two halves.
// The outer half runs here, in the helper, on the host's side: it opens what
// comes from the host as detached mounts and looks names up. The inner half is
// one table of steps (steps.go), compiled to system calls that the forked
// child runs inside its new namespaces before it becomes the payload.
//
// A second process of a container that runs is Exec (exec.go): a table of steps
// as well, in which namespaces are joined and not made. Its caller owns what
// comes back, a child process and with process.terminal the other end of its
// terminal:
//
//	runtime.SealFor(pid) // first of all: may start this program once more
//	j, err := runtime.Exec(ctx, runtime.ExecConfig{PID: pid, Spec: spec, Process: process, Stdio: stdio})
//	...copy to and from j.Terminal...
//	status, err := j.Wait()
//
// The room can be read on its own: it imports no YAML, no D-Bus and no HTTP,
// and paths inside a root file system are resolved on descriptors only.
package runtime

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/seccomp"
)

// Options are what the helper hands to a launch beside the plan.
type Options struct {
	// Stdio are the payload's descriptors 0 to 2.
	Stdio [3]*os.File
	// AttachPoint is an empty host directory; inside the child's own mount
	// namespace the root file system is attached there until pivot_root.
	AttachPoint string
	// ID and Bundle name the container in the state that hooks read.
	ID, Bundle string
	// CgroupDir is the cgroup to be born in (service placement), nil = the caller's.
	CgroupDir *os.File
	// Gated makes the child wait for Child.Open before it enters its cgroup
	// namespace: the caller moves it in the meantime.
	Gated bool
	// Sibling makes the payload a child of this process's parent: PID 1 when
	// systemd runs the helper, so that PID 1 sees the payload's own exit status.
	Sibling bool
	// StartFIFO, opened with O_PATH, makes the payload wait before its exec until
	// somebody opens the FIFO for reading, also when this process has ended by
	// then. nil = it does not wait. See Launch.AwaitCreated.
	StartFIFO *os.File
	// PreserveFDs is how many descriptors from 3 on the payload gets.
	PreserveFDs int
	// OwnPID are variables that the payload gets with its own process id as it sees
	// that (LISTEN_PID, WATCHDOG_PID), which nobody else knows beforehand.
	OwnPID []string
	// NoPivot leaves the host's root mounted below the payload's, for roots that
	// cannot be pivoted from: an initramfs.
	NoPivot bool
	// InUserNamespace says that this process is root of a user namespace alone, as
	// below a rootless engine: device nodes are the host's, shown by bind mounts.
	InUserNamespace bool
	// KeepKeyring leaves the session keyring as it is.
	KeepKeyring bool
	// MoveDevices moves linux.netDevices into the container's network namespace,
	// before any hook runs. It is the caller's: this package speaks to no network.
	// nil = a configuration that has some is refused.
	MoveDevices func(ns *os.File, devices map[string]specs.LinuxNetDevice) error
	// Before is called with each step's name before it is done in this process;
	// nil = nothing is.
	Before func(step string)
	// Contents are those of the plan's Files, in their order: what is secret is in
	// no plan.
	Contents [][]byte
	// StopAt is the step at which a test stops the child; "" = none.
	StopAt string
	// Begun is what there is already.
	Begun Begun
}

// Begun are processes that were cloned before anything is prepared. They end with
// this process.
type Begun struct {
	// Child is the payload's first process, which waits for Start; nil = Start forks it.
	Child  *program.Child
	anchor *program.Child // nil = Prepare forks it
}

// Launch is a launch whose outer half is done: everything that comes from the
// host is open, the program is compiled. Close frees what was opened.
type Launch struct {
	plan *plan.Plan
	spec *specs.Spec
	opt  Options

	root     *os.File   // detached mount of the root file system
	sources  []*os.File // detached mounts of bind mounts, by index of spec.Mounts
	user     User
	filter   *seccomp.Program // nil = none
	anchor   *anchor          // holder of the user namespace; nil without one
	prog     *program.Program
	compiler *compiler
	files    []*os.File
	// An image: its layers, topmost first, and where the container writes.
	layers    []*os.File
	writable  *os.File
	stacked   *os.File               // the same as tmpcopyup sees it, nil unless that asks
	filesDir  *os.File               // detached mount of secrets and configs, nil without any
	console   [2]*os.File            // with a terminal: this process's end, the child's end
	hookState *os.File               // what the child's hooks read; nil without any
	agent     *agent                 // who answers for the filter; nil without one
	images    map[string]*imageMount // that are mounted, by destination
	unmapped  []string               // sources that keep the host's owners
	// Mounts, by index, that come behind all others: see cgroups.go.
	lateCgroups []int
	copies      map[int][]byte // what plan.Copies begin with, by index of spec.Mounts
}

// Prepare does the outer half.
func Prepare(p *plan.Plan, opt Options) (*Launch, error) {
	l := &Launch{plan: p, spec: p.Spec, opt: opt}
	if opt.Begun.anchor != nil {
		l.anchor = &anchor{child: opt.Begun.anchor}
	}
	for _, s := range outerSteps {
		if s.when != nil && !s.when(l) {
			continue
		}
		if opt.Before != nil {
			opt.Before(s.name)
		}
		if err := s.do(l); err != nil {
			l.Close()
			var named *StepError
			if errors.As(err, &named) {
				return nil, err
			}
			return nil, &StepError{Step: s.name, Exit: s.exit, Err: err}
		}
	}
	return l, nil
}

// outerSteps run in the helper, in this order.
var outerSteps = []struct {
	name string
	exit int
	why  string
	do   func(*Launch) error
	when func(*Launch) bool // nil = always
}{
	{"check-plan", exitNamespace, "what cannot be carried out is an error, never left away",
		checkPlan, nil},
	{"check-labels", exitSELinux, "a label for a security module that does not run is an error, before anything is made",
		checkLabels, hasLabels},
	{"create-user-namespace", exitUser, "before the mounts: idmapped mounts need it",
		createUserNamespace, nil},
	{"open-rootfs", exitNamespace, "as a detached mount: nothing becomes visible on the host, and closing it is all the clean-up there is",
		openRoot, nil},
	{"look-up-user", exitUser, "by the root file system's own passwd and group, never the host's",
		lookUpUser, nil},
	{"open-mount-sources", exitNamespace, "as detached mounts, while host paths can still be named",
		openSources, nil},
	{"open-images", exitNamespace, "layers of images that are mounted, as those of the root file system",
		openImages, nil},
	{"open-console-socket", exitStdout, "the child alone can open a terminal of the container's devpts, and hands its other end back",
		openConsole, nil},
	{"fill-files", exitCredentials, "secrets and configs, in memory that is never written to swap and that nobody else sees",
		fillFiles, nil},
	{"compile-seccomp", exitSeccomp, "from the profile to the program that the kernel takes",
		compileFilter, func(l *Launch) bool { return !l.begun() }},
	{"open-namespaces", exitUser, "the last that the inner steps need: they are made meanwhile",
		openAnchored, usesUserNamespace},
	{"compile-steps", exitNamespace, "the inner steps become system calls with prepared arguments: the forked child runs no Go",
		compileSteps, nil},
}

// BeginNamespaces clones the process that makes the namespaces of the payload's
// user namespace: they take longer than most other preparations.
func (b *Begun) BeginNamespaces(p *plan.Plan) error {
	l := &Launch{plan: p, spec: p.Spec}
	if !l.hasNew(specs.UserNamespace) {
		return nil
	}
	var err error
	if b.anchor, err = l.forkAnchor(); err != nil {
		return &StepError{Step: "create-user-namespace", Exit: exitUser, Err: err}
	}
	return nil
}

// BeginPayload clones the payload's first process before anything is prepared, so
// that systemd can move it meanwhile. It waits for Start. Child stays nil where it
// can be made only when all is ready.
func (b *Begun) BeginPayload(p *plan.Plan, opt Options) error {
	l := &Launch{plan: p, spec: p.Spec, opt: opt}
	if !mayShare(l) {
		return nil
	}
	var err error
	if b.Child, err = program.Begin(l.forkOptions()); err != nil {
		return &StepError{Step: "clone-payload", Exit: exitNamespace, Err: err}
	}
	return nil
}

// sharing is off on processors where a child cannot share this process's memory,
// and where a test wants the start to be as there.
var sharing = program.CanShare()

// mayShare tells whether the child may run in this process's memory until its
// exec. Nobody may be able to trace it: not in its PID namespace, which is new,
// nor as its user (fs.suid_dumpable=1 would let them). It execs itself, and
// nothing holds for all who share the memory, as an OOM score does, or asks that
// nobody does (setns(2), CLONE_NEWTIME), or is unmapped here before.
func mayShare(l *Launch) bool {
	ownUsers := l.wantsAnchor() || l.spec.Process.User.UID == 0 && (l.plan.User == "" || l.plan.User == "0")
	return sharing && l.hasNew(specs.PIDNamespace) && ownUsers && !l.opt.InUserNamespace && !wantsInit(l) && !hasOOMScore(l) &&
		!newTime(l) && l.joined(specs.TimeNamespace) == "" &&
		(l.spec.Linux.Seccomp == nil || l.spec.Linux.Seccomp.ListenerPath == "")
}

func (l *Launch) forkOptions() program.ForkOptions {
	opt := program.ForkOptions{Flags: l.cloneFlags(), CgroupDir: -1, StopAt: l.opt.StopAt, Shared: mayShare(l)}
	if l.opt.Sibling {
		opt.Flags |= unix.CLONE_PARENT
	}
	if l.opt.CgroupDir != nil {
		opt.CgroupDir = int(l.opt.CgroupDir.Fd())
	}
	return opt
}

// Start forks the payload's first process, or sets off the one of Begin.
func (l *Launch) Start() (*program.Child, error) {
	c, err := l.start()
	if err != nil {
		return nil, err
	}
	l.closeAgent()
	l.anchor.end()
	if err := l.joinResctrl(c.PID); err != nil {
		return nil, l.abandon(c, &StepError{Step: "join-resctrl", Exit: exitCgroup, Err: err})
	}
	if err := l.tellAgent(c.PID, specs.StateCreating); err != nil {
		return nil, l.abandon(c, &StepError{Step: "compile-seccomp", Exit: exitSeccomp, Err: err})
	}
	return c, nil
}

// begun tells whether the child is there already.
func (l *Launch) begun() bool { return l.opt.Begun.Child != nil }

// startBegun compiles what the child does behind its gate while it goes there.
func (l *Launch) startBegun() error {
	if err := l.opt.Begun.Child.Run(l.prog, l.opt.StopAt); err != nil {
		if op := (*program.OpError)(nil); errors.As(err, &op) {
			return err
		}
		return &StepError{Step: "clone-payload", Exit: exitNamespace, Err: err}
	}
	open := len(l.files)
	for _, s := range []struct {
		name string
		exit int
		do   func(*Launch) error
	}{
		{"compile-seccomp", exitSeccomp, compileFilter},
		{"compile-steps", exitNamespace, func(l *Launch) error { return l.compiler.compile("") }},
	} {
		if l.opt.Before != nil {
			l.opt.Before(s.name)
		}
		if err := s.do(l); err != nil {
			return &StepError{Step: s.name, Exit: s.exit, Err: err}
		}
	}
	if len(l.files) != open {
		return &StepError{Step: "compile-steps", Exit: exitNamespace, Err: errors.New("a file was opened that the child has not")}
	}
	l.opt.Begun.Child.More(l.prog, l.opt.StopAt)
	return nil
}

func (l *Launch) start() (c *program.Child, err error) {
	if l.begun() {
		return l.opt.Begun.Child, l.startBegun()
	}
	fork := func() (err error) { c, err = l.prog.Fork(l.forkOptions()); return err }
	if path := l.joined(specs.PIDNamespace); path != "" {
		err = inPIDNamespace(path, fork)
	} else {
		err = fork()
	}
	if err != nil {
		return nil, &StepError{Step: "clone-payload", Exit: exitNamespace, Err: err}
	}
	return c, nil
}

// abandon ends a child that nobody will get.
func (l *Launch) abandon(c *program.Child, err error) error {
	_ = c.Kill()
	c.Close()
	if l.opt.Sibling {
		return err // its parent reaps it
	}
	_, _ = waitFor(c.PID)
	return err
}

// NetworkNamespace opens the child's network namespace, where it is a new one.
func (l *Launch) NetworkNamespace(child *program.Child) (*os.File, error) {
	// The child may not have joined it yet, and still be in the host's.
	path := fmt.Sprintf("/proc/%d/ns/net", child.PID)
	if l.anchor != nil {
		path = fmt.Sprintf("/proc/self/fd/%d", l.anchor.ns["net"].Fd())
	}
	return os.Open(path)
}

// Program is the compiled inner half.
func (l *Launch) Program() *program.Program { return l.prog }

// Close closes what Prepare opened; a started child has its own copies.
func (l *Launch) Close() {
	for _, f := range l.files {
		f.Close()
	}
	l.anchor.close()
	if l.agent != nil && l.agent.mem != nil {
		_ = unix.Munmap(l.agent.mem)
		l.agent.mem = nil
	}
}

// own remembers f for Close.
func (l *Launch) own(f *os.File) *os.File {
	l.files = append(l.files, f)
	return f
}

// StepError is a failed step of the outer half.
type StepError struct {
	Step string
	Exit int // exit status, one of systemd's own (systemd.exec(5))
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

func (e *StepError) Unwrap() error { return e.Err }
