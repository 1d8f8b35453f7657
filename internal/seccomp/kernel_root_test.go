// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests in this file ask the running kernel: the test binary starts itself
// again, loads the filter and makes the calls. Root is not needed.

const childVariable = "UNITC_SECCOMP_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(125)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// order is what a child gets on stdin: the filter and the calls to make.
type order struct {
	Program *Program
	Calls   []probe
}

// probe is one call. ABI is "" for the native one, or int80.
type probe struct {
	ABI  string
	Nr   uintptr
	Args [maxArgs]uintptr
}

// answer is a call's result.
type answer struct {
	Value uintptr
	Errno unix.Errno
}

// child loads the filter and prints one line for each call it survives. The
// memory for the answers is there beforehand: a filter may forbid to get more.
func child() error {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	runtime.LockOSThread()
	agent := startAgent()
	if err := load(o.Program, agent); err != nil {
		return err
	}
	for _, p := range o.Calls {
		a := p.make()
		if a.Value == 0 && p.Nr == unix.SYS_CLONE && a.Errno == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // the clone itself
		}
		fmt.Println(a.Value, uintptr(a.Errno))
	}
	return nil
}

func (p probe) make() answer {
	if p.ABI == "int80" {
		return answer{Value: int80(p.Nr)}
	}
	v, _, errno := unix.RawSyscall6(p.Nr, p.Args[0], p.Args[1], p.Args[2], p.Args[3], p.Args[4], p.Args[5])
	return answer{v, errno}
}

// load does what the runtime does: no_new_privs, then the filter with its flags.
func load(p *Program, agent chan<- int) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	fprog := p.Fprog()
	v, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(p.Flags), uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return fmt.Errorf("loading %d instructions with flags %#x: %w", len(p.Filter), p.Flags, errno)
	}
	if p.Listens() {
		agent <- int(v)
	}
	return nil
}

// agentErrno is what the agent answers to every call that it is asked about.
const agentErrno = unix.EXDEV

// startAgent gives a thread that answers for a listener. It is there before
// the filter, which therefore does not bind it.
func startAgent() chan<- int {
	listeners, ready := make(chan int), make(chan bool)
	go func() {
		runtime.LockOSThread()
		ready <- true
		fd := <-listeners
		for {
			var notif [80]byte // struct seccomp_notif
			if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&notif))); errno != 0 {
				continue
			}
			resp := struct { // struct seccomp_notif_resp
				id    [8]byte
				val   int64
				err   int32
				flags uint32
			}{err: -int32(agentErrno)}
			copy(resp.id[:], notif[:8])
			unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&resp)))
		}
	}()
	<-ready
	return listeners
}

// runChild gives the answers, and how the child ended.
func runChild(t *testing.T, spec *specs.LinuxSeccomp, calls ...probe) ([]answer, *exec.ExitError, string) {
	t.Helper()
	program, err := Compile(spec, Native)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(order{program, calls})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil && exit.ExitCode() == 125 {
		t.Fatalf("child: %s", stderr.String())
	}
	var answers []answer
	for lines := bytes.NewReader(out); ; {
		var a answer
		if _, err := fmt.Fscan(lines, &a.Value, (*uintptr)(&a.Errno)); err == io.EOF {
			return answers, exit, stderr.String()
		} else if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		answers = append(answers, a)
	}
}

// signalOf is the signal that ended a child, 0 if it exited.
func signalOf(exit *exec.ExitError) unix.Signal {
	if exit == nil {
		return 0
	}
	if status := exit.Sys().(interface{ Signal() unix.Signal }); status.Signal() > 0 {
		return status.Signal()
	}
	return 0
}

func nativeProbe(nr uintptr, args ...uintptr) probe {
	p := probe{Nr: nr}
	copy(p.Args[:], args)
	return p
}

// badFD makes a call that gets past the filter fail with EBADF.
const badFD = ^uintptr(0)

// TestKernelDefault: the default profile, by the kernel's own word. EBADF and
// EFAULT come from behind the filter.
func TestKernelDefault(t *testing.T) {
	const high = 1 << 40
	for name, c := range map[string]struct {
		probe
		want unix.Errno
	}{
		"getpid":                    {nativeProbe(unix.SYS_GETPID), 0},
		"read":                      {nativeProbe(unix.SYS_READ, badFD), unix.EBADF},
		"unshare":                   {nativeProbe(unix.SYS_UNSHARE, unix.CLONE_NEWUSER), unix.EPERM},
		"clone of a user namespace": {nativeProbe(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)), unix.EPERM},
		"clone":                     {nativeProbe(unix.SYS_CLONE, uintptr(unix.SIGCHLD)), 0},
		"clone3":                    {nativeProbe(unix.SYS_CLONE3), unix.ENOSYS},
		"mount":                     {nativeProbe(unix.SYS_MOUNT), unix.EPERM},
		"fsopen":                    {nativeProbe(unix.SYS_FSOPEN), unix.EPERM},
		"setns":                     {nativeProbe(unix.SYS_SETNS, badFD), unix.EPERM},
		"bpf":                       {nativeProbe(unix.SYS_BPF), unix.EPERM},
		"ptrace":                    {nativeProbe(unix.SYS_PTRACE, 0), unix.EPERM},
		"keyctl":                    {nativeProbe(unix.SYS_KEYCTL), unix.EPERM},
		"io_uring_setup":            {nativeProbe(unix.SYS_IO_URING_SETUP), unix.EPERM},
		"userfaultfd":               {nativeProbe(unix.SYS_USERFAULTFD), unix.EPERM},
		"vmsplice":                  {nativeProbe(unix.SYS_VMSPLICE, badFD), unix.EPERM},
		"open_by_handle_at":         {nativeProbe(unix.SYS_OPEN_BY_HANDLE_AT, badFD), unix.EPERM},
		"AF_UNIX":                   {nativeProbe(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM), 0},
		"AF_INET":                   {nativeProbe(unix.SYS_SOCKET, unix.AF_INET|high, unix.SOCK_STREAM), 0},
		"AF_ALG":                    {nativeProbe(unix.SYS_SOCKET, unix.AF_ALG, 99), unix.EAFNOSUPPORT},
		"AF_VSOCK":                  {nativeProbe(unix.SYS_SOCKET, unix.AF_VSOCK|high, 99), unix.EAFNOSUPPORT},
		"AF_PACKET":                 {nativeProbe(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW), unix.EAFNOSUPPORT},
		"NETLINK_ROUTE":             {nativeProbe(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE), 0},
		"NETLINK_XFRM":              {nativeProbe(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM), unix.EAFNOSUPPORT},
		"ioctl":                     {nativeProbe(unix.SYS_IOCTL, badFD, unix.TCGETS), unix.EBADF},
		"TIOCSTI":                   {nativeProbe(unix.SYS_IOCTL, badFD, unix.TIOCSTI), unix.EPERM},
		"TIOCSTI with a high bit":   {nativeProbe(unix.SYS_IOCTL, badFD, unix.TIOCSTI|high), unix.EPERM},
		"TIOCLINUX":                 {nativeProbe(unix.SYS_IOCTL, badFD, unix.TIOCLINUX), unix.EPERM},
		"personality":               {nativeProbe(unix.SYS_PERSONALITY, 0xffffffff), 0},
		"ADDR_NO_RANDOMIZE":         {nativeProbe(unix.SYS_PERSONALITY, 0x0040000), unix.EPERM},
		"a call of the future":      {nativeProbe(9999), unix.ENOSYS},
		"-1":                        {nativeProbe(^uintptr(0)), unix.ENOSYS},
	} {
		t.Run(name, func(t *testing.T) {
			answers, exit, stderr := runChild(t, Default(Options{Arch: Native}), c.probe)
			if exit != nil || len(answers) != 1 {
				t.Fatalf("%v: %s", exit, stderr)
			}
			if got := answers[0].Errno; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestKernelActions: each action does what the kernel's manual says of it.
func TestKernelActions(t *testing.T) {
	uname := nativeProbe(unix.SYS_UNAME) // EFAULT, if it gets through
	for _, c := range []struct {
		action specs.LinuxSeccompAction
		errno  *uint
		want   unix.Errno
		end    string
	}{
		{specs.ActAllow, nil, unix.EFAULT, ""},
		{specs.ActLog, nil, unix.EFAULT, ""},
		{specs.ActErrno, nil, unix.EPERM, ""},
		{specs.ActErrno, uintp(uint(unix.EXFULL)), unix.EXFULL, ""},
		{specs.ActErrno, uintp(4094), 4094, ""}, // Go takes 4095 for a result
		{specs.ActErrno, uintp(0), 0, ""},
		{specs.ActTrace, nil, unix.ENOSYS, ""}, // nobody traces
		{specs.ActNotify, nil, agentErrno, ""},
		{specs.ActTrap, nil, 0, "exit"}, // Go's own handler of SIGSYS
		{specs.ActKillProcess, nil, 0, "signal"},
	} {
		t.Run(string(c.action), func(t *testing.T) {
			spec := &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow,
				ListenerPath:  "/run/agent",
				Syscalls:      []specs.LinuxSyscall{rule(c.action, "uname")},
			}
			spec.Syscalls[0].ErrnoRet = c.errno
			if c.action == specs.ActAllow {
				spec.DefaultAction = specs.ActLog
			}
			answers, exit, stderr := runChild(t, spec, nativeProbe(unix.SYS_GETPID), uname)
			switch {
			case c.end == "" && (exit != nil || len(answers) != 2):
				t.Fatalf("%v: %s", exit, stderr)
			case c.end == "" && answers[1].Errno != c.want:
				t.Errorf("got %v, want %v", answers[1].Errno, c.want)
			case c.end == "signal" && signalOf(exit) != unix.SIGSYS:
				t.Errorf("ended by %v, want SIGSYS", exit)
			case c.end == "exit" && (exit == nil || !strings.Contains(stderr, "SIGSYS: bad system call")):
				t.Errorf("ended by %v: %s", exit, stderr)
			}
		})
	}
}

// TestKernelArguments: comparisons of both halves, several arguments and all
// operators, as the kernel evaluates them.
func TestKernelArguments(t *testing.T) {
	spec := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		rule(specs.ActErrno, "getpgid", arg(0, specs.OpEqualTo, 1<<32|7), arg(5, specs.OpGreaterThan, 1<<33)),
		rule(specs.ActErrno, "getsid", arg(1, specs.OpMaskedEqual, 0xff000000_000000ff, 0x12000000_00000034)),
		rule(specs.ActErrno, "getpriority", arg(2, specs.OpLessEqual, 1<<32), arg(3, specs.OpNotEqual, 1<<63)),
	}}
	for i := range spec.Syscalls {
		spec.Syscalls[i].ErrnoRet = uintp(uint(unix.EXFULL))
	}
	calls := []probe{
		nativeProbe(unix.SYS_GETPGID, 1<<32|7, 0, 0, 0, 0, 1<<33+1),
		nativeProbe(unix.SYS_GETPGID, 1<<32|7, 0, 0, 0, 0, 1<<33),
		nativeProbe(unix.SYS_GETPGID, 7, 0, 0, 0, 0, 1<<33+1),
		nativeProbe(unix.SYS_GETSID, 0, 0x12345678_9abcde34),
		nativeProbe(unix.SYS_GETSID, 0, 0x13345678_9abcde34),
		nativeProbe(unix.SYS_GETPRIORITY, 0, 0, 1<<32, 0),
		nativeProbe(unix.SYS_GETPRIORITY, 0, 0, 1<<32+1, 0),
		nativeProbe(unix.SYS_GETPRIORITY, 0, 0, 1, 1<<63),
	}
	want := []bool{true, false, false, true, false, true, false, false}
	answers, exit, stderr := runChild(t, spec, calls...)
	if exit != nil || len(answers) != len(want) {
		t.Fatalf("%v: %s", exit, stderr)
	}
	var got []bool
	for _, a := range answers {
		got = append(got, a.Errno == unix.EXFULL)
	}
	if !slices.Equal(got, want) {
		t.Errorf("matched: got %v, want %v", got, want)
	}
}

// TestKernelLimits: the kernel takes what Compile lets through, however long,
// and all flags together.
func TestKernelLimits(t *testing.T) {
	spec := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Flags:         []specs.LinuxSeccompFlag{flagTSync, specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow},
	}
	for i := uint64(0); ; i++ {
		longer := *spec
		longer.Syscalls = append(slices.Clone(spec.Syscalls), rule(specs.ActErrno, "getpgid", arg(0, specs.OpEqualTo, i<<32|i)))
		if _, err := Compile(&longer, Native); err != nil {
			break
		}
		spec = &longer
	}
	last := uintptr(len(spec.Syscalls) - 1)
	answers, exit, stderr := runChild(t, spec,
		nativeProbe(unix.SYS_GETPGID, last<<32|last), nativeProbe(unix.SYS_GETPGID, 0))
	if exit != nil || len(answers) != 2 || last < 1000 {
		t.Fatalf("%d rules: %v: %s", last, exit, stderr)
	}
	if answers[0].Errno != unix.EPERM || answers[1].Errno != unix.EPERM {
		t.Errorf("got %v, want EPERM twice", answers)
	}
}
