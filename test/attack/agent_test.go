// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agentAttacks are about SCMP_ACT_NOTIFY: who holds the listener decides about the
// calls of a container, and the agent that has it may be broken or hostile.
var agentAttacks = []attack{
	{"listener-of-who-joins", "SCMP_ACT_NOTIFY, 2016-9962", "a payload that may trace takes the seccomp listener out of a process that joins, while the agent thinks about its exec", "forbid-tracing,close-listener", nil, "",
		func(t *testing.T, c *target) bool {
			a := newAgent(t, c, "execve")
			var thinks atomic.Int64
			a.answer = func() answer {
				time.Sleep(time.Duration(thinks.Load()))
				return answer{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			}
			c.service.CapAdd = []string{"CAP_SYS_PTRACE"}
			h := c.hold()
			thinks.Store(int64(20 * time.Millisecond))
			tried, reached := watch(t, h, "steal")
			if tried == 0 {
				t.Error("no process was seen")
			}
			return reached > 0
		}},
	{"listener-in-the-payload", "SCMP_ACT_NOTIFY, SCM_RIGHTS", "the payload, or a process that joins, looks for the listener and the connection to its agent among its descriptors", "",
		func(*target) {}, "the caller passes it on by LISTEN_FDS=",
		func(t *testing.T, c *target) bool {
			a := newAgent(t, c, "swapon")
			a.keeps = true
			h := c.hold()
			if c.loose {
				listener := os.NewFile(uintptr(<-a.listeners), "listener")
				t.Cleanup(func() { listener.Close() })
				c.caller = func(cmd *exec.Cmd) {
					cmd.ExtraFiles, cmd.Env = append(cmd.ExtraFiles, listener), append(cmd.Env, "LISTEN_FDS=1")
				}
			}
			seen, err := h.exec(nil, "listeners")
			must(t, err)
			if seen["listeners"] != "0" || c.one("listeners") != "0" {
				return true
			}
			c.service.Init = true
			seen = c.see("listeners", "read=/proc/1/comm")
			return seen["listeners"] != "0"
		}},
	{"agent-that-dies", "SCMP_ACT_NOTIFY", "an agent goes away, so that nobody answers for the call that it was asked about", "",
		func(*target) {}, "the agent lets the call pass",
		func(t *testing.T, c *target) bool {
			for _, c.service.Init = range []bool{false, true} {
				a := newAgent(t, c, "getpgid")
				a.answer = func() answer { return answer{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE} }
				a.dies = !c.loose
				if got := c.one("pgid"); got != "ENOSYS" {
					return got == "ok"
				}
			}
			return false
		}},
	{"agent-that-dies-at-the-exec", "SCMP_ACT_NOTIFY", "an agent goes away when it is asked about the exec of the payload, so that the start would never end", "close-listener", nil, "",
		func(t *testing.T, c *target) bool {
			a := newAgent(t, c, "execve")
			a.dies = true
			return c.waits(t)
		}},
	{"agent-that-answers-the-exec", "SCMP_ACT_NOTIFY", "an agent answers the exec of the payload itself, so that the runtime takes its own process for the payload", "",
		func(*target) {}, "the agent lets the exec pass",
		func(t *testing.T, c *target) bool {
			a := newAgent(t, c, "execve")
			for _, say := range []answer{{value: 0}, {value: 1 << 40}, {value: -1}, {errno: -int32(unix.ENOENT)}} {
				a.answer = func() answer {
					if c.loose {
						return answer{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
					}
					return say
				}
				_, err := c.start("cwd")
				if err == nil {
					return true
				}
				if !strings.Contains(err.Error(), "unable to start container process: exec") {
					t.Errorf("%+v: the start says %v", say, err)
				}
			}
			return false
		}},
	{"agent-that-lets-wait", "SCMP_ACT_NOTIFY", "an agent takes no connections, or reads nothing of what is sent to it, so that no start would end", "agent-patience", nil, "",
		func(t *testing.T, c *target) bool {
			for _, connections := range []int{0, 100} {
				a := newAgent(t, c, "swapon")
				a.stuck(connections)
				c.spec = a.profile(strings.Repeat("x", 240<<10))
				if c.waits(t) {
					return true
				}
			}
			return false
		}},
	{"agents-that-are-none", "SCMP_ACT_NOTIFY", "the place of the agent's socket is a FIFO, a device, a socket of another kind, a link to itself or too long", "",
		func(*target) {}, "it is an agent's",
		func(t *testing.T, c *target) bool {
			a := newAgent(t, c, "swapon")
			if c.loose {
				_, err := c.start("cwd")
				return err == nil
			}
			place := a.path
			for _, change := range []func() error{
				func() error { return unix.Mkfifo(place, 0o666) },
				func() error { return unix.Mknod(place, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
				func() error { return os.Mkdir(place, 0o777) },
				func() error { return os.Symlink(place, place) },
				func() error { return os.Symlink("nowhere", place) },
				func() error {
					fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
					t.Cleanup(func() { unix.Close(fd) })
					return errors.Join(err, unix.Bind(fd, &unix.SockaddrUnix{Name: place}))
				},
				func() error { a.path = place + strings.Repeat("x", 200); return nil },
				func() error { a.path = place + "\x00x"; return nil },
			} {
				must(t, os.RemoveAll(place))
				must(t, change())
				_, err := c.start("cwd")
				if err == nil {
					return true
				}
				if !strings.Contains(err.Error(), "seccomp agent") && !strings.Contains(err.Error(), "NUL byte") {
					t.Errorf("the start says %v", err)
				}
			}
			return false
		}},
}

// waits tells whether a start never ends.
func (c *target) waits(t *testing.T) bool {
	t.Helper()
	wait := patience
	if c.loose {
		wait /= 2
	}
	must(t, c.configure("cwd"))
	id := fmt.Sprintf("waits-%d", containers.Add(1))
	cmd := c.command("run", "--bundle", c.dir, id)
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		return false
	case <-time.After(wait):
	}
	_ = cmd.Process.Kill()
	<-ended
	_ = c.command("delete", "--force", id).Run()
	return true
}

// question is struct seccomp_notif, answer struct seccomp_notif_resp (seccomp_unotify(2)).
type (
	question struct {
		id         uint64
		pid, flags uint32
		data       [64]byte
	}
	answer struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

// agent answers for one system call of the target.
type agent struct {
	t         *testing.T
	path      string
	name      string
	socket    int
	answer    func() answer
	dies      bool // as soon as it is asked
	keeps     bool // the listeners, and answers nothing
	listeners chan int
}

var agents atomic.Int32

// newAgent gives the target a profile that asks an agent about a call.
func newAgent(t *testing.T, c *target, name string) *agent {
	t.Helper()
	a := &agent{t: t, path: fmt.Sprintf("%s/agent-%d", c.dir, agents.Add(1)), name: name, listeners: make(chan int, 100)}
	var err error
	a.socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Bind(a.socket, &unix.SockaddrUnix{Name: a.path}))
	must(t, unix.Listen(a.socket, 1))
	t.Cleanup(func() { _ = unix.Shutdown(a.socket, unix.SHUT_RDWR); unix.Close(a.socket) })
	c.service.SecurityOpt = []string{"seccomp=unconfined"}
	c.spec = a.profile("")
	go a.serve()
	return a
}

// profile allows all calls but the one that it asks about.
func (a *agent) profile(annotation string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Annotations = map[string]string{"long": annotation}
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: a.path, Syscalls: []specs.LinuxSyscall{{Names: []string{a.name}, Action: specs.ActNotify}}}
	}
}

// stuck has the agent do nothing any more, with so many connections that wait.
func (a *agent) stuck(connections int) {
	_ = unix.Shutdown(a.socket, unix.SHUT_RDWR)
	unix.Close(a.socket)
	must(a.t, os.Remove(a.path))
	var err error
	a.socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(a.t, err)
	must(a.t, unix.Bind(a.socket, &unix.SockaddrUnix{Name: a.path}))
	must(a.t, unix.Listen(a.socket, 1))
	for range connections {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(a.t, err)
		a.t.Cleanup(func() { unix.Close(fd) })
		if errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: a.path}), unix.EAGAIN) {
			return
		}
	}
}

// serve takes the listener of each start and answers until its container has ended.
func (a *agent) serve() {
	for {
		c, _, err := unix.Accept4(a.socket, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		text, rights := make([]byte, 1<<16), make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := unix.Recvmsg(c, text, rights, unix.MSG_CMSG_CLOEXEC)
		unix.Close(c)
		if err != nil {
			continue
		}
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		if err != nil || len(messages) == 0 {
			continue
		}
		if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
			if a.keeps {
				a.listeners <- fds[0]
			} else {
				go a.answers(fds[0])
			}
		}
	}
}

func (a *agent) answers(listener int) {
	defer unix.Close(listener)
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		if a.dies {
			return
		}
		var asked question
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&asked))); e != 0 {
			continue
		}
		said := a.answer()
		said.id = asked.id
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&said)))
	}
}

func init() {
	probes["pgid"] = func(string) string { _, err := unix.Getpgid(0); return outcome(err) }
	probes["listeners"] = func(string) string { return fmt.Sprint(listeners("/proc/self/fd")) }
	probes["steal"] = steal
}

// listeners counts those of seccomp, and sockets, among descriptors.
func listeners(dir string) (n int) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, _ := os.Readlink(dir + "/" + e.Name()); strings.Contains(to, "seccomp") || strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// steal takes descriptors out of all other processes until it is told to stop, and
// counts the listeners among them.
func steal(string) string {
	fmt.Println("ready")
	tried, reached := 0, 0
	for {
		if _, err := os.Stat("/tmp/stop"); err == nil {
			return fmt.Sprintf("%d %d", tried, reached)
		}
		eachOther(func(dir string) {
			var pid int
			if _, err := fmt.Sscanf(dir, "/proc/%d", &pid); err != nil {
				return
			}
			process, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return
			}
			defer unix.Close(process)
			tried++
			for n := range 64 {
				fd, err := unix.PidfdGetfd(process, n, 0)
				if err != nil {
					continue
				}
				if to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); strings.Contains(to, "seccomp") {
					reached++
				}
				unix.Close(fd)
			}
		})
	}
}
