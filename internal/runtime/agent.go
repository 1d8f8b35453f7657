// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/protection"
)

// agent is the way to who answers for the calls that a profile has with
// SCMP_ACT_NOTIFY (runtime-spec config-linux.md, "Seccomp"). The child itself
// sends the listener, as soon as it has one: of a container that waits for its
// start the helper is gone by then. What goes with it has the child's process
// id, so it is written behind the fork, to memory that both see.
type agent struct {
	socket *os.File
	mem    []byte // an agentMessage, and the text behind it
}

// agentMessage is the head of the shared memory.
type agentMessage struct {
	text, length uint64 // struct iovec
	ready        [8]byte
}

const (
	agentMemory = 256 << 10 // bytes; annotations are the bulk
	agentText   = 64        // where the text begins
	// agentPatience is how long an agent may take for a connection, in seconds.
	agentPatience = 10
)

// connectAgent connects before anything is made, so that an agent that is not
// there is told by name and not by a payload that hangs.
func connectAgent(l *Launch) error {
	profile := l.spec.Linux.Seccomp
	if !letsThrough(profile, "sendmsg") {
		return errors.New("seccomp profile: with SCMP_ACT_NOTIFY it must allow sendmsg, by which the listener gets to its agent")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket for the seccomp agent: %w", err)
	}
	l.agent = &agent{socket: l.own(os.NewFile(uintptr(fd), "seccomp agent"))}
	if err := doNotWait(fd); err != nil {
		return fmt.Errorf("socket for the seccomp agent: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: profile.ListenerPath}); errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("seccomp agent %s takes no connection: %w", profile.ListenerPath, os.NewSyscallError("connect", err))
	} else if err != nil {
		return fmt.Errorf("seccomp agent %s: %w", profile.ListenerPath, os.NewSyscallError("connect", err))
	}
	return l.agent.allocate()
}

// doNotWait keeps an agent that takes no connection, or reads nothing, from holding
// the start: all of the message fits the socket's buffer, and what waits for room
// all the same, connect(2) included, fails after a time (unix(7), socket(7)).
func doNotWait(fd int) error {
	if protection.Off("agent-patience") {
		return nil
	}
	// Who may not force it gets what net.core.wmem_max allows.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, agentMemory) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, agentMemory); err != nil {
			return os.NewSyscallError("setsockopt SO_SNDBUF", err)
		}
	}
	return os.NewSyscallError("setsockopt SO_SNDTIMEO", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: agentPatience}))
}

func (a *agent) allocate() (err error) {
	if a.mem, err = unix.Mmap(-1, 0, agentMemory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS); err != nil {
		return fmt.Errorf("memory for the seccomp agent: %w", err)
	}
	return nil
}

// letsThrough tells whether a profile lets a call pass whatever its arguments.
func letsThrough(profile *specs.LinuxSeccomp, name string) bool {
	passes := func(a specs.LinuxSeccompAction) bool { return a == specs.ActAllow || a == specs.ActLog }
	ok := passes(profile.DefaultAction)
	for _, rule := range profile.Syscalls {
		if !slices.Contains(rule.Names, name) {
			continue
		}
		if len(rule.Args) == 0 {
			return passes(rule.Action)
		}
		ok = ok && passes(rule.Action)
	}
	return ok
}

// tellAgent writes what the child sends.
func (l *Launch) tellAgent(pid int, status specs.ContainerState) error {
	if l.agent == nil {
		return nil
	}
	text, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: l.spec.Linux.Seccomp.ListenerMetadata,
		State: specs.State{Version: specs.Version, ID: l.opt.ID, Status: status, Pid: pid, Bundle: l.opt.Bundle, Annotations: l.spec.Annotations},
	})
	if err != nil {
		return err
	}
	mem := l.agent.mem
	if len(text) > len(mem)-agentText {
		return fmt.Errorf("the state for the seccomp agent has %d bytes, %d at most", len(text), len(mem)-agentText)
	}
	copy(mem[agentText:], text)
	m := (*agentMessage)(unsafe.Pointer(&mem[0]))
	m.text, m.length = uint64(uintptr(unsafe.Pointer(&mem[agentText]))), uint64(len(text))
	binary.NativeEndian.PutUint64(m.ready[:], told)
	// The child may be waiting for that already (agentIsTold); futex(2).
	const wake = 1
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&m.ready[0])), wake, 1, 0, 0, 0)
	return nil
}

// told has the same bits in both halves, so that a futex, which has 32 of them,
// sees the change on every architecture.
const told = 1<<32 | 1

// sendListener hands the listener over. Nothing waits for the agent but the
// calls that it answers for, and the connection ends with the exec. The agent is
// the only one to have the listener then: nobody can take it out of this process
// while it waits for an answer, and none comes when the agent has gone (ENOSYS).
func (c *compiler) sendListener(listener program.Reg) {
	m := (*agentMessage)(unsafe.Pointer(&c.agent.mem[0]))
	c.sendRights(c.agent.socket, listener, program.Ptr(unsafe.Pointer(m)))
	// A profile that asks about close(2) leaves it to the exec.
	if letsThrough(c.spec.Linux.Seccomp, "close") && !protection.Off("close-listener") {
		c.close(listener)
	}
}

// agentIsTold waits until the message is written, which takes this child's number,
// and fails closed where it never is.
func (c *compiler) agentIsTold() {
	m := (*agentMessage)(unsafe.Pointer(&c.agent.mem[0]))
	want := make([]byte, len(m.ready))
	binary.NativeEndian.PutUint64(want, told)
	const wait = 0
	patience := program.Keep(c.p, &unix.Timespec{Sec: 30})
	c.p.Call("futex", "until the message for the seccomp agent is written", unix.SYS_FUTEX, program.Ptr(unsafe.Pointer(&m.ready[0])), wait, 0, patience, 0, 0).
		Ignore(unix.EAGAIN, unix.ETIMEDOUT)
	c.p.Compare("compare", "the message for the seccomp agent is written", m.ready[:], want)
}

// closeAgent closes this process's end: the child has its own.
func (l *Launch) closeAgent() {
	if l.agent != nil {
		l.agent.socket.Close()
	}
}
