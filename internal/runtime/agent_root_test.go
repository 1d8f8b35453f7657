// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

func init() {
	// swapon is a call that no program makes by itself.
	probes["swapon"] = func(string) string {
		v, _, errno := unix.RawSyscall(unix.SYS_SWAPON, 0, 0, 0)
		return fmt.Sprintf("%d %s", v, outcome(errnoOrNil(errno)))
	}
}

func errnoOrNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// notice is what an agent has got.
type notice struct {
	states []specs.ContainerProcessState
	pid    uint32 // of who made the call, as the kernel says
	err    error
}

// startAgent answers one notification with the value 42. It does without
// package net, which would make the payload a dynamic program.
func startAgent(t *testing.T, path string) <-chan notice {
	t.Helper()
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Bind(socket, &unix.SockaddrUnix{Name: path}))
	must(t, unix.Listen(socket, 1))
	t.Cleanup(func() { unix.Close(socket) })
	done := make(chan notice, 1)
	go func() {
		var n notice
		n.states, n.pid, n.err = serveAgent(socket)
		done <- n
	}()
	return done
}

// readable waits a minute for something to read.
func readable(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n != 1 {
			err = unix.ETIME
		}
		return err
	}
}

// serveAgent takes one connection, which must end behind one state.
func serveAgent(socket int) (states []specs.ContainerProcessState, pid uint32, err error) {
	if err := readable(socket); err != nil {
		return nil, 0, err
	}
	c, _, err := unix.Accept4(socket, unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, 0, err
	}
	defer unix.Close(c)
	text, oob := make([]byte, 1<<16), make([]byte, 1024)
	n, oobn, _, _, err := unix.Recvmsg(c, text, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return nil, 0, fmt.Errorf("%d control messages: %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, 0, fmt.Errorf("descriptors %v: %v", fds, err)
	}
	defer unix.Close(fds[0])
	for d := json.NewDecoder(io.MultiReader(strings.NewReader(string(text[:n])), socketReader(c))); ; {
		var s specs.ContainerProcessState
		if err := d.Decode(&s); errors.Is(err, io.EOF) { // with the child's exec
			break
		} else if err != nil {
			return nil, 0, err
		}
		states = append(states, s)
	}
	pid, err = answer(fds[0], 42)
	return states, pid, err
}

type socketReader int

func (s socketReader) Read(b []byte) (int, error) {
	if err := readable(int(s)); err != nil {
		return 0, err
	}
	n, err := unix.Read(int(s), b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// answer gives one call a value (seccomp_unotify(2)).
func answer(listener int, value int64) (pid uint32, err error) {
	if err := readable(listener); err != nil {
		return 0, fmt.Errorf("no notification: %w", err)
	}
	var call struct {
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return 0, errno
	}
	response := struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: call.id, value: value}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&response))); errno != 0 {
		return 0, errno
	}
	return call.pid, nil
}

func notifying(path string, more ...specs.LinuxSyscall) func(*plan.Plan) {
	return func(p *plan.Plan) {
		p.Spec.Annotations = map[string]string{"of": "the container"}
		p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "opaque",
			Syscalls: append([]specs.LinuxSyscall{{Names: []string{"swapon"}, Action: specs.ActNotify}}, more...),
		}
	}
}

// A call is answered by the agent that the profile names: for the first
// process, with and without an init and no_new_privs, and for one that joins.
func TestSeccompAgent(t *testing.T) {
	for _, v := range []struct{ init, privileges bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		path := t.TempDir() + "/agent"
		done := startAgent(t, path)
		c := newContainer(t)
		c.service.Init = v.init
		if v.privileges {
			c.service.SecurityOpt = []string{"no-new-privileges=false"}
		}
		c.spec = notifying(path)
		c.look(map[string]string{"swapon": "42 ok", "fds": "0 1 2"})
		n := <-done
		if n.err != nil || len(n.states) != 1 {
			t.Fatalf("%+v: the agent has %+v", v, n)
		}
		s := n.states[0]
		if s.Version != specs.Version || fmt.Sprint(s.Fds) != "[seccompFd]" || s.Metadata != "opaque" || s.Pid == 0 || s.State.Pid != s.Pid ||
			s.State.ID != "test" || s.State.Bundle != "/bundle" || s.State.Status != specs.StateCreating || s.State.Annotations["of"] != "the container" {
			t.Errorf("%+v: the state is %+v", v, s)
		}
		if !v.init && n.pid != uint32(s.Pid) {
			t.Errorf("%+v: process %d has called, the state says %d", v, n.pid, s.Pid)
		}
	}
}

func TestSeccompAgentOfAJoiningProcess(t *testing.T) {
	dir := t.TempDir()
	done := startAgent(t, dir+"/agent")
	c := newContainer(t)
	c.spec = notifying(dir + "/agent")
	h := c.hold("swapon")
	if first := <-done; first.err != nil {
		t.Fatal(first.err)
	}
	h.plan.Spec.Linux.Seccomp.ListenerPath = dir + "/second"
	done = startAgent(t, dir+"/second")
	seen, err := h.probe(ExecConfig{ID: "test", Bundle: "/bundle"}, "swapon", "fds")
	must(t, err)
	if seen["swapon"] != "42 ok" || seen["fds"] != "0 1 2" {
		t.Errorf("the joining process saw %v", seen)
	}
	n := <-done
	if n.err != nil || len(n.states) != 1 || uint32(n.states[0].Pid) != n.pid || n.states[0].State.Status != specs.StateRunning || n.states[0].State.ID != "test" {
		t.Errorf("the agent has %+v", n)
	}
}

// Who does not answer, or cannot be reached, is told before anything is made.
func TestSeccompAgentThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*plan.Plan){
		"connect: no such file or directory": notifying("/nonexistent/agent"),
		"it must allow sendmsg":              notifying("/x", specs.LinuxSyscall{Names: []string{"sendmsg"}, Action: specs.ActErrno}),
		"no agent is named":                  notifying(""),
		"would wait before its start": func(p *plan.Plan) {
			p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify, ListenerPath: "/x"}
		},
	} {
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		c.spec = change
		out, err := c.exec()
		var step *StepError
		if !errors.As(err, &step) || step.Step != "compile-seccomp" || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
