// SPDX-License-Identifier: Apache-2.0

// Package seccomptest shows tests a kernel that lacks a system call, or a filter
// above them that refuses one: by a filter of seccomp(2), which nobody can take
// back. It stays with a thread to its end, and goes on to the programs that it
// starts. Nothing that is shipped may import it.
package seccomptest

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp"
)

// Refusal is system calls, by their names, that fail with an errno. With Args only
// those fail whose arguments match all of them.
type Refusal struct {
	Calls []string
	Errno unix.Errno
	Args  []specs.LinuxSeccompArg
}

// Process refuses the calls to all threads of this process, and to what it starts,
// for good: it is for a process that a test has started for this.
func (r Refusal) Process() error {
	_, err := load(r.rule(), "SECCOMP_FILTER_FLAG_TSYNC")
	return err
}

// Thread does something on a thread of its own that is refused the calls. So are
// the programs that it starts; goroutines that it starts are not.
func (r Refusal) Thread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also where a test's Fatal ends this goroutine
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		_, err := load(r.rule())
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func (r Refusal) rule() specs.LinuxSyscall {
	errno := uint(r.Errno)
	return specs.LinuxSyscall{Names: r.Calls, Action: specs.ActErrno, ErrnoRet: &errno, Args: r.Args}
}

// Ask is as Refusal.Thread, with a function that is told the arguments of each of
// the calls and gives the errno with which it fails; 0 lets it through. Pointers
// among them are to memory of who calls, who waits meanwhile.
func Ask(calls []string, answer func(args [6]uint64) unix.Errno, do func() error) error {
	listener, done := make(chan int, 1), make(chan error, 1)
	go func() {
		defer close(done)      // as above
		runtime.LockOSThread() // for good
		fd, err := load(specs.LinuxSyscall{Names: calls, Action: specs.ActNotify})
		if err == nil {
			listener <- fd
			err = do()
		}
		done <- err
	}()
	var fd int
	select {
	case err := <-done: // it has not begun
		return err
	case fd = <-listener:
	}
	defer unix.Close(fd)
	var wrong error
	for {
		select {
		case err := <-done:
			return errors.Join(err, wrong)
		default:
			wrong = errors.Join(wrong, answerOne(fd, answer))
		}
	}
}

// load gives the listener if the rule has one.
func load(rule specs.LinuxSyscall, flags ...specs.LinuxSeccompFlag) (listener int, err error) {
	spec := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: flags, Syscalls: []specs.LinuxSyscall{rule}}
	if rule.Action == specs.ActNotify {
		spec.ListenerPath = "/nowhere" // the profile must name one, and nobody reads it
	}
	p, err := seccomp.Compile(spec, seccomp.Native)
	if err != nil {
		return 0, err
	}
	if len(p.Unknown) > 0 {
		return 0, fmt.Errorf("no system calls: %q", p.Unknown) // a test of nothing
	}
	f := p.Fprog()
	set := func() unix.Errno {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(p.Flags), uintptr(unsafe.Pointer(&f)))
		listener = int(fd)
		return errno
	}
	errno := set()
	if errno == unix.EACCES {
		// Without CAP_SYS_ADMIN that is wanted, on this thread: it goes to the others
		// with the filter (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC).
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return 0, fmt.Errorf("setting no_new_privs: %w", err)
		}
		errno = set()
	}
	runtime.KeepAlive(p)
	if errno != 0 {
		return 0, fmt.Errorf("loading a filter for %q: %w", rule.Names, errno)
	}
	return listener, nil
}

// answerOne answers for one call if there is one soon (seccomp_unotify(2)).
func answerOne(listener int, answer func([6]uint64) unix.Errno) error {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10); n != 1 || err != nil {
		return nil
	}
	var call struct { // struct seccomp_notif
		id         uint64
		pid, flags uint32
		nr, arch   uint32
		ip         uint64
		args       [6]uint64
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return nil // a signal has ended the call
	}
	reply := struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno := answer(call.args); errno != 0 {
		reply.errno, reply.flags = -int32(errno), 0
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&reply))); errno != 0 && errno != unix.ENOENT {
		return fmt.Errorf("answering: %w", errno)
	}
	return nil
}
