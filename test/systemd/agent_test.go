// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccompAgent answers the calls of one container with EXDEV, and gives what it
// was told of it.
func seccompAgent(t *testing.T, path string) <-chan specs.ContainerProcessState {
	t.Helper()
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	told := make(chan specs.ContainerProcessState, 1)
	go func() {
		defer close(told)
		_ = socket.SetDeadline(time.Now().Add(patience))
		c, err := socket.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		text, oob := make([]byte, 1<<16), make([]byte, 1024)
		n, oobn, _, _, err := c.ReadMsgUnix(text, oob)
		if err != nil {
			t.Error(err)
			return
		}
		listener, err := onlyDescriptor(oob[:oobn])
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(listener)
		var state specs.ContainerProcessState
		rest, _ := io.ReadAll(c)
		if err := json.Unmarshal(append(text[:n:n], rest...), &state); err != nil {
			t.Errorf("%s%s: %v", text[:n], rest, err)
		}
		told <- state
		for answerEXDEV(listener) {
		}
	}()
	return told
}

func onlyDescriptor(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("%d control messages: %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("descriptors %v: %v", fds, err)
	}
	return fds[0], nil
}

// answerEXDEV answers one call; false is the end of the container.
func answerEXDEV(listener int) bool {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, int(patience.Milliseconds())); err == unix.EINTR {
		return true
	} else if err != nil || n != 1 || fds[0].Revents&unix.POLLIN == 0 {
		return false
	}
	var call struct {
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
		return errno == unix.EINTR || errno == unix.ENOENT
	}
	answer := struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: call.id, errno: -int32(unix.EXDEV)}
	unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	return true
}

// A definition's profile names an agent, which answers for its calls.
//
//lab:once
func TestSeccompAgentOfADefinition(t *testing.T) {
	leavesNothing(t, func() {
		dir := t.TempDir()
		told := seccompAgent(t, dir+"/agent")
		place(t, dir+"/profile.json", `{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "`+dir+`/agent", "listenerMetadata": "for the agent",
			"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}`)
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "agent", "rootfs: host\ninit: true\nsecurity_opt: [seccomp="+dir+"/profile.json]\ncommand: [sh, -c, 'mkdir /tmp/x 2>&1; exec sleep infinity']").start()
			c.awaitOutput("Invalid cross-device link")
			state := <-told
			if state.Metadata != "for the agent" || state.State.ID != c.name || state.Pid != c.mainPID() {
				t.Errorf("the agent is told %+v", state)
			}
			c.end()
		})
	})
}

// A container of the OCI command line is started by another process than made
// it, after that has ended.
//
//lab:once
func TestSeccompAgentOfTheCommandLine(t *testing.T) {
	told := make(<-chan specs.ContainerProcessState)
	err := runCase(t, ociCase{"agent", func(b *bundle) error {
		told = seccompAgent(t, b.dir+"/agent")
		b.spec.Process.Args = []string{"sh", "-c", "mkdir /tmp/x 2>/tmp/said; sleep 1000"}
		b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: b.dir + "/agent",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}}}
		if err := b.started(); err != nil {
			return err
		}
		state := <-told
		if state.State.ID != b.id || state.State.Bundle != b.dir || state.State.Annotations["org.example.key"] != "value" {
			return fmt.Errorf("the agent is told %+v", state)
		}
		return eventually(func() error {
			said, err := os.ReadFile(b.dir + "/rootfs/tmp/said")
			if err == nil && len(said) == 0 {
				err = fmt.Errorf("mkdir succeeded")
			}
			return err
		})
	}}, ociRuntime)
	if err != nil {
		t.Error(err)
	}
}
