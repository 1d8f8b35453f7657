// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ociSocketCases: what comes in and goes out by sockets and descriptors, for all three
// runtimes.
var ociSocketCases = []ociCase{
	{"NOTIFY_SOCKET of run", func(b *bundle) error {
		b.spec.Process.Args = []string{"systemd-notify", "--ready"}
		return b.hears("READY=1", "run", "--bundle", b.dir, b.id)
	}},
	{"NOTIFY_SOCKET of run, before an end at once", func(b *bundle) error {
		b.spec.Process.Args = []string{"systemd-notify", "--no-block", "--ready"}
		return b.hears("READY=1", "run", "--bundle", b.dir, b.id)
	}},
	{"NOTIFY_SOCKET of run, never used", func(b *bundle) error {
		b.spec.Process.Args = []string{"true"}
		return b.hears("", "run", "--bundle", b.dir, b.id)
	}},
	{"NOTIFY_SOCKET of run --detach", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "systemd-notify --ready; exec sleep 1000"}
		return errors.Join(b.hears("READY=1", "run", "--detach", "--bundle", b.dir, b.id), b.hasStatus("running"))
	}},
	{"NOTIFY_SOCKET of create and start", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "systemd-notify --ready; exec sleep 1000"}
		return errors.Join(b.hears("", "create", "--bundle", b.dir, b.id), b.hears("READY=1", "start", b.id), b.hasStatus("running"))
	}},
	{"NOTIFY_SOCKET of a user of a user namespace", func(b *bundle) error {
		b.spec.Process.Args, b.spec.Process.User.UID = []string{"systemd-notify", "--ready"}, 5
		return errors.Join(os.Chmod(b.dir, 0o755), b.mapped(), b.hears("READY=1", "run", "--bundle", b.dir, b.id))
	}},
	{"MAINPID= from inside", func(b *bundle) error {
		b.spec.Process.Args = []string{"sh", "-c", "systemd-notify READY=1 MAINPID=1; exec sleep 1000"}
		err := b.hears("READY=1", "run", "--detach", "--bundle", b.dir, b.id)
		if strings.Contains(b.said, "MAINPID=1\n") {
			err = errors.Join(err, errors.New("it has passed"))
		}
		return err
	}},
	{"exec --pidfd-socket", func(b *bundle) error {
		r, err := receive(b.dir + "/pidfd")
		if err = errors.Join(err, b.started()); err != nil {
			return err
		}
		defer r.Close()
		if err := b.ok("exec", "--detach", "--pidfd-socket", b.dir+"/pidfd", "--pid-file", b.dir+"/pid", b.id, "sleep", "1000"); err != nil {
			return err
		}
		pid, err := os.ReadFile(b.dir + "/pid")
		if got := <-r.got; !strings.Contains(got+"\n", "\nPid:\t"+string(pid)+"\n") {
			err = errors.Join(err, fmt.Errorf("what was sent is %q, the process is %s", got, pid))
		}
		return err
	}},
	{"exec for receivers that are not there runs nothing", func(b *bundle) error {
		err := errors.Join(os.WriteFile(b.dir+"/file", nil, 0o600), b.started())
		for _, option := range []string{"--pidfd-socket", "--console-socket"} {
			for _, path := range []string{b.dir + "/none", b.dir + "/file"} {
				args := []string{"exec", "--detach", option, path, b.id, "touch", "/tmp/ran"}
				if option == "--console-socket" {
					args = append([]string{"exec", "--tty"}, args[1:]...)
				}
				err = errors.Join(err, b.refused("", args...))
			}
		}
		if exists(b.dir + "/rootfs/tmp/ran") {
			err = errors.Join(err, errors.New("the command has run"))
		}
		return err
	}},
	{"create for receivers that are not there makes nothing", func(b *bundle) error {
		b.spec.Process.Terminal = true
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err = errors.Join(err, b.write(), os.WriteFile(b.dir+"/file", nil, 0o600)); err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.Bind(s, &unix.SockaddrUnix{Name: b.dir + "/datagrams"}); err != nil {
			return err
		}
		for _, path := range []string{"/none", "/file", "/datagrams"} {
			err = errors.Join(err, b.refused("", "create", "--console-socket", b.dir+path, "--bundle", b.dir, b.id), b.refused("exist", "state", b.id))
		}
		return err
	}},
	{"--console-socket with a long path", func(b *bundle) error {
		b.spec.Process.Terminal = true
		dir := b.dir + "/" + strings.Repeat("long", 40)
		if err := errors.Join(os.Mkdir(dir, 0o755), b.write()); err != nil {
			return err
		}
		fd, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer fd.Close()
		r, err := receive(fmt.Sprintf("/proc/self/fd/%d/s", fd.Fd()))
		if err != nil {
			return err
		}
		defer r.Close()
		err = b.ok("create", "--console-socket", dir+"/s", "--bundle", b.dir, b.id)
		if err == nil && !strings.Contains(<-r.got, "tty-index") {
			err = errors.New("what was sent is no terminal")
		}
		return err
	}},
	{"--console-socket whose listener hangs up", func(b *bundle) error {
		b.spec.Process.Terminal = true
		l, err := net.Listen("unix", b.dir+"/console")
		if err = errors.Join(err, b.write()); err != nil {
			return err
		}
		defer l.Close()
		go func() {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}()
		return errors.Join(b.refused("", "create", "--console-socket", b.dir+"/console", "--bundle", b.dir, b.id), b.refused("exist", "state", b.id))
	}},
}

// hears runs a call with a notify socket and looks for a word among what is said there.
func (b *bundle) hears(word string, args ...string) error {
	if !exists(b.dir + "/config.json") {
		if err := b.withHostPrograms(); err != nil {
			return err
		}
	}
	_ = os.Remove(b.dir + "/host")
	host, err := hearAt(b.dir + "/host")
	if err != nil {
		return err
	}
	defer host.Close()
	b.env = []string{"NOTIFY_SOCKET=" + b.dir + "/host"}
	err = b.ok(args...)
	b.env = nil
	if err != nil {
		return err
	}
	check := func() error {
		host.lock.Lock()
		defer host.lock.Unlock()
		b.said = host.all
		if word == "" && b.said != "" || !strings.Contains(b.said, word) {
			return fmt.Errorf("the caller hears %q, want %q", b.said, word)
		}
		return nil
	}
	if word == "" {
		return check()
	}
	return eventually(check)
}

// mapped gives it a user namespace.
func (b *bundle) mapped() error {
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
	b.spec.Linux.GIDMappings = b.spec.Linux.UIDMappings
	return nil
}

// receiver gets one descriptor.
type receiver struct {
	*net.UnixListener
	got chan string // its fdinfo (proc_pid_fdinfo(5))
}

func receive(path string) (*receiver, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	r := &receiver{l, make(chan string, 1)}
	go func() {
		defer close(r.got)
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer c.Close()
		oob, buf := make([]byte, 64), make([]byte, 4096)
		_, n, _, _, _ := c.ReadMsgUnix(buf, oob)
		if m, err := unix.ParseSocketControlMessage(oob[:n]); err == nil && len(m) == 1 {
			if fds, err := unix.ParseUnixRights(&m[0]); err == nil && len(fds) == 1 {
				text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fds[0]))
				unix.Close(fds[0])
				r.got <- string(text)
			}
		}
	}()
	return r, nil
}
