// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// Package net would have these tests linked against the C library, which no root file
// system of theirs has.

func init() {
	dial := func(kind int, name string) string {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return outcome(err)
		}
		defer unix.Close(fd)
		return outcome(unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + name}))
	}
	probes["abstract"] = func(name string) string { return dial(unix.SOCK_STREAM, name) }
	probes["abstract-datagram"] = func(name string) string { return dial(unix.SOCK_DGRAM, name) }
	probes["abstract-own"] = func(name string) string {
		fd, err := listenAbstract(unix.SOCK_STREAM, name)
		if err != nil {
			return outcome(err)
		}
		defer unix.Close(fd)
		return dial(unix.SOCK_STREAM, name)
	}
}

func listenAbstract(kind int, name string) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name}); err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, unix.SOMAXCONN) // nobody accepts
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// abstractSocket listens in the network namespace of the tests, to streams and to datagrams:
// each kind has names of its own.
func abstractSocket(t *testing.T) (name string) {
	t.Helper()
	name = fmt.Sprintf("unitc-test-%d-%s", os.Getpid(), t.Name())
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		fd, err := listenAbstract(kind, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
	return name
}

// onHostNetwork is a container that shares the network of the tests.
func onHostNetwork(t *testing.T) *container {
	c := newContainer(t)
	c.service.NetworkMode, c.facts.Landlock = "host", true
	return c
}

// A payload in the host's network reaches no abstract socket of the host's, whatever
// its privilege, and its own ones; without the domain it reaches them (CVE-2020-15257).
func TestAbstractSocketsOfTheHost(t *testing.T) {
	if version, err := Landlock(); err != nil || version < LandlockSockets {
		t.Fatalf("this kernel has version %d of Landlock: %v", version, err)
	}
	name := abstractSocket(t)
	for _, c := range []struct {
		nnp, init bool
		user      string
	}{{true, false, ""}, {true, true, ""}, {false, false, ""}, {false, true, ""}, {true, false, "7"}, {false, true, "7"}} {
		for _, scoped := range []bool{true, false} {
			k := onHostNetwork(t)
			k.service.Init, k.service.User = c.init, c.user
			if !scoped {
				k.service.SecurityOpt = []string{"landlock=unconfined"}
			}
			k.spec = func(p *plan.Plan) { p.Spec.Process.NoNewPrivileges = c.nnp }
			want := map[bool]string{true: "EPERM", false: "ok"}[scoped]
			k.look(map[string]string{"abstract=" + name: want, "abstract-datagram=" + name: want, "abstract-own=" + name + "-inside": "ok", "fds": "0 1 2"})
		}
	}
}

// A domain that is refused, or that is said to be there and is not, stops the start.
func TestDomainIsReadBack(t *testing.T) {
	for errno, call := range map[unix.Errno]string{unix.EPERM: "landlock_restrict_self", 0: "connect"} {
		err := seccomptest.Refusal{Calls: []string{"landlock_restrict_self"}, Errno: errno}.Thread(func() error {
			c := onHostNetwork(t)
			c.service.Command = []string{"/payload", "payload", "pid"}
			_, err := c.exec()
			return err
		})
		var failed *program.OpError
		if !errors.As(err, &failed) || failed.Step != "scope-abstract-sockets" || failed.What != call {
			t.Errorf("landlock_restrict_self gives %d: %v", errno, err)
		}
	}
}

// Kernels without Landlock have none; one that is refused is no kernel without.
func TestVersionOfLandlock(t *testing.T) {
	for errno, there := range map[unix.Errno]bool{unix.ENOSYS: false, unix.EOPNOTSUPP: false, unix.EPERM: true} {
		err := seccomptest.Refusal{Calls: []string{"landlock_create_ruleset"}, Errno: errno}.Thread(func() error {
			version, err := Landlock()
			if version != 0 {
				t.Errorf("%v: version %d", errno, version)
			}
			return err
		})
		if (err != nil) != there {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
