// SPDX-License-Identifier: Apache-2.0

// Package program builds a list of system calls and lets a forked child run
// it. A Go process cannot fork and go on running Go: the other threads of the
// runtime do not exist in the child. A second start of the runtime in the
// child costs 1.5 ms a launch. So the privileged half of a launch is compiled
// beforehand to plain system calls with prepared arguments, and the child only
// runs them one after another (run.go). What the child will do is thereby a
// value: it can be printed, compared with a golden file and fuzzed without
// privilege.
//
// The room knows nothing of containers; the runtime package writes programs.
package program

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reg holds the result of a call, nearly always a descriptor, for later calls.
type Reg int16

// MaxRegs bounds the registers of one program; they live on the child's stack,
// which cannot grow.
const MaxRegs = 32

// MaxSteps bounds the steps whose start is timed on the shared page.
const MaxSteps = 96

type opKind uint8

const (
	opCall      opKind = iota // make the call
	opStep                    // a step begins: note it on the shared page
	opJump                    // go to target
	opCompare                 // args[0] bytes at a and b; differing bytes are a failure
	opFail                    // fail with errno args[0]
	opInit                    // fork: the child goes on, this process reaps
	opSpawn                   // run a program and wait for it: see Spawn
	opRebirth                 // fork: the child goes on, this process exits
	opStore                   // write the register args[0] to a
	opCloseFrom               // close what is open from args[0] on; see CloseFrom
	opBits                    // make the call once for each bit of a set; see Bits
	opEach                    // make the call once for each number of a range; see Each
	opDigits                  // write the register args[0] to a as text; see Digits
)

// op is read by the child: fixed size, ready to run.
type op struct {
	a, b    unsafe.Pointer // opCompare: what was got, what is wanted
	mask    unsafe.Pointer // opCompare: the bits that count, nil = all
	nr      uintptr
	args    [6]uintptr
	want    uintptr  // opCompare: 1 = they must differ
	target  int32    // where a skipped errno or opJump goes on
	skip    [3]int16 // errnos that go on at target instead of failing
	into    Reg      // where the result goes, -1 = nowhere
	step    int16
	regs    uint8 // bit i: args[i] is a register
	kind    opKind
	hasWant bool
	exit    uint8 // exit status of the child when this call fails
}

// note is what the parent says about an op; the child never reads it.
type note struct{ what, detail string }

// Step is a named stretch of the program.
type Step struct {
	Name string
	Exit int
	Ops  int // number of calls
}

// Program is a finished or growing list of calls.
type Program struct {
	ops   []op
	notes []note
	steps []Step
	keep  []unsafe.Pointer // what the uintptr arguments point to
	regs  Reg
	init  bool // it has one
}

// New gives an empty program.
func New() *Program { return &Program{} }

// Grow makes room for calls, so that what is compiled is written only once.
func (p *Program) Grow(calls int) {
	p.ops, p.notes, p.keep = slices.Grow(p.ops, calls), slices.Grow(p.notes, calls), slices.Grow(p.keep, calls)
}

// Ptr is the address of memory that Program keeps alive.
type Ptr uintptr

// Str keeps a NUL-terminated copy of s. A NUL inside would cut the string
// short, so that what is opened differs from what was checked: it panics, and
// the planner refuses such strings long before.
func (p *Program) Str(s string) Ptr {
	b, err := unix.ByteSliceFromString(s)
	if err != nil {
		panic("program: NUL in string argument")
	}
	return p.Bytes(b)
}

// Bytes keeps b.
func (p *Program) Bytes(b []byte) Ptr {
	if len(b) == 0 {
		return 0
	}
	p.keep = append(p.keep, unsafe.Pointer(&b[0]))
	return Ptr(unsafe.Pointer(&b[0]))
}

// Keep keeps *v and gives its address; v must be a pointer to a value without
// Go pointers in it.
func Keep[T any](p *Program, v *T) Ptr {
	p.keep = append(p.keep, unsafe.Pointer(v))
	return Ptr(unsafe.Pointer(v))
}

// Strv keeps a NULL-terminated array of strings, as execve(2) takes it; more are
// strings that are kept already.
func (p *Program) Strv(ss []string, more ...Ptr) Ptr {
	ptrs := make([]uintptr, len(ss)+len(more)+1)
	for i, s := range ss {
		ptrs[i] = uintptr(p.Str(s))
	}
	for i, m := range more {
		ptrs[len(ss)+i] = uintptr(m)
	}
	p.keep = append(p.keep, unsafe.Pointer(&ptrs[0]))
	return Ptr(unsafe.Pointer(&ptrs[0]))
}

// Step begins a step; calls added from now on belong to it and make the child
// exit with status exit when they fail.
func (p *Program) Step(name string, exit int) {
	if len(p.steps) >= MaxSteps {
		panic("program: more than MaxSteps steps")
	}
	p.steps = append(p.steps, Step{Name: name, Exit: exit})
	p.add(op{kind: opStep, into: -1}, note{what: name})
}

// Steps lists the steps in order.
func (p *Program) Steps() []Step { return p.steps }

// Reg gives a fresh register.
func (p *Program) Reg() Reg {
	if p.regs >= MaxRegs {
		panic("program: more than MaxRegs registers")
	}
	p.regs++
	return p.regs - 1
}

// Release gives back the registers that were taken after mark was.
func (p *Program) Release(mark Reg) { p.regs = mark }

// Mark is the next register; see Release.
func (p *Program) Mark() Reg { return p.regs }

// Call adds a system call. Arguments are int, uint32, uint64, uintptr, Ptr or
// Reg. what and detail describe it in errors and listings: "move_mount",
// "dst=/data".
func (p *Program) Call(what, detail string, nr uintptr, args ...any) *Call {
	o := op{nr: nr, into: -1, kind: opCall}
	for i, a := range args {
		switch v := a.(type) {
		case int:
			o.args[i] = uintptr(v)
		case uint32:
			o.args[i] = uintptr(v)
		case uint64:
			o.args[i] = uintptr(v)
		case uintptr:
			o.args[i] = v
		case Ptr:
			o.args[i] = uintptr(v)
		case Reg:
			o.args[i] = uintptr(v)
			o.regs |= 1 << i
		default:
			// Without the value: the arguments of all calls would be made on the heap.
			panic("program: " + what + ": an argument of a type that no call takes")
		}
	}
	return p.add(o, note{what, detail})
}

// Compare adds a read-back: the bytes of got, which an earlier call has
// written, must equal those of want.
func (p *Program) Compare(what, detail string, got, want []byte) *Call {
	if len(got) != len(want) || len(got) == 0 {
		panic("program: comparing different lengths")
	}
	return p.add(op{kind: opCompare, into: -1, a: unsafe.Pointer(&got[0]), b: unsafe.Pointer(&want[0]),
		args: [6]uintptr{uintptr(len(got))}}, note{what, detail})
}

// CompareBits is Compare for the bits of mask alone.
func (p *Program) CompareBits(what, detail string, got, want, mask []byte) *Call {
	if len(mask) != len(got) {
		panic("program: comparing different lengths")
	}
	c := p.Compare(what, detail, got, want)
	p.ops[c.i].mask = unsafe.Pointer(&mask[0])
	return c
}

// Differ is the read-back of a value that must not be that of other.
func (p *Program) Differ(what, detail string, got, other []byte) *Call {
	c := p.Compare(what, detail, got, other)
	p.ops[c.i].want = 1
	return c
}

// Fail ends the program with errno.
func (p *Program) Fail(what, detail string, errno unix.Errno) {
	p.add(op{kind: opFail, into: -1, args: [6]uintptr{uintptr(errno)}}, note{what, detail})
}

// Init forks: the new process goes on with the program, this one stays as an
// init. It passes every signal on to the new process, reaps what becomes its
// child, and exits as the new process did, with 128 and the number of the
// signal if one killed it. It does nothing of that before Child.Resume, and kills the
// new process where the caller ends without: nobody would know what has started.
//
// stop, if not 0, is what the new process gets in the place of SIGTERM; its end
// by that signal is told as one by SIGTERM.
func (p *Program) Init(what string, stop int) {
	p.init = true
	p.add(op{kind: opInit, into: -1, args: [6]uintptr{uintptr(stop)}}, note{what: what})
}

// Jump goes on at the place that the returned label is set to.
func (p *Program) Jump(l *Label) {
	c := p.add(op{kind: opJump, into: -1}, note{what: "jump"})
	l.uses = append(l.uses, c.i)
}

func (p *Program) add(o op, n note) *Call {
	o.step = int16(len(p.steps) - 1)
	if len(p.steps) > 0 {
		s := &p.steps[len(p.steps)-1]
		o.exit = uint8(s.Exit)
		if o.kind == opCall {
			s.Ops++
		}
	}
	p.ops = append(p.ops, o)
	p.notes = append(p.notes, n)
	return &Call{p, len(p.ops) - 1}
}

// Call refines the op just added.
type Call struct {
	p *Program
	i int
}

// Into keeps the result in r.
func (c *Call) Into(r Reg) *Call { c.p.ops[c.i].into = r; return c }

// Want demands this very result.
func (c *Call) Want(result uintptr) *Call {
	c.p.ops[c.i].want, c.p.ops[c.i].hasWant = result, true
	return c
}

// Ignore goes on with the next op when the call gives one of errnos.
func (c *Call) Ignore(errnos ...unix.Errno) *Call {
	c.errnos(errnos)
	c.p.ops[c.i].target = int32(c.i + 1)
	return c
}

// Skip goes on at l when the call gives one of errnos.
func (c *Call) Skip(l *Label, errnos ...unix.Errno) *Call {
	c.errnos(errnos)
	l.uses = append(l.uses, c.i)
	return c
}

func (c *Call) errnos(errnos []unix.Errno) {
	if len(errnos) > len(c.p.ops[c.i].skip) {
		panic("program: too many errnos on one call")
	}
	for i, e := range errnos {
		c.p.ops[c.i].skip[i] = int16(e)
	}
}

// Label is a place further on in the program; backward jumps do not exist, so
// every program ends.
type Label struct{ uses []int }

// Here sets the label to the next op.
func (p *Program) Here(l *Label) {
	for _, i := range l.uses {
		p.ops[i].target = int32(len(p.ops))
	}
	l.uses = nil
}

// Describe gives op i as "step: what detail".
func (p *Program) Describe(i int) (step, what, detail string) {
	if i < 0 || i >= len(p.ops) {
		return "", "", ""
	}
	if s := p.ops[i].step; s >= 0 {
		step = p.steps[s].Name
	}
	return step, p.notes[i].what, p.notes[i].detail
}

// Listing prints one op a line, for golden files and `unitc plan --steps`.
func (p *Program) Listing() []string {
	var out []string
	for i := range p.ops {
		o, n := &p.ops[i], p.notes[i]
		switch o.kind {
		case opStep:
			out = append(out, n.what+":")
		case opJump:
		default:
			line := "\t" + n.what
			if n.detail != "" {
				line += " " + n.detail
			}
			for _, e := range o.skip {
				if e != 0 {
					line += " [" + unix.ErrnoName(unix.Errno(e)) + " is fine]"
				}
			}
			out = append(out, line)
		}
	}
	return out
}
