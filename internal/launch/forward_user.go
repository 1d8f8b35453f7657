// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/enter"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
)

// forwardUser is Forward for a user's container, to which nothing leads from outside of
// its network namespace. The process that takes the connections is in that, has no power
// over it, and ends with the container: it is the unit's main process from then on.
func forwardUser(u *realm.User, self, name, port string) int {
	target, err := strconv.ParseUint(port, 10, 16)
	for done := false; err == nil && !done; {
		// Who is there finds out whether it answers.
		if err = awaitPort(name, uint16(target), func([]netip.Addr) bool { return true }); err == nil {
			done, err = takeOver(u, self, name, port)
		}
	}
	if err == nil {
		return 0
	}
	closeWaiting()
	return tell(fmt.Errorf("forwarding connections to %s: %w", name, err))
}

// takeOver has a process in the container's namespaces go on with the unit's sockets;
// false = the container has ended meanwhile.
func takeOver(u *realm.User, self, name, port string) (done bool, err error) {
	pid, err := mainProcess(name)
	if pid == 0 || err != nil {
		return false, err
	}
	payload, err := openProcess(pid)
	if err != nil {
		return false, ended(err)
	}
	defer payload.Close()
	var ns [2]*os.File
	for i, kind := range []string{"user", "net"} {
		if ns[i], err = os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err != nil {
			return false, ended(err)
		}
		defer ns[i].Close()
	}
	// The number may have been another's by then.
	if again, err := mainProcess(name); again != pid || err != nil {
		return false, err
	}
	notify, err := shareNotifier()
	if err != nil {
		return false, err
	}
	passSockets()
	words := []string{filepath.Dir(self) + "/unitc-resolver", "forward", port, strconv.Itoa(int(payload.Fd()))}
	child, err := enter.Fork(u, words, enter.Options{Sibling: true, Into: ns[0], Before: func(p *program.Program) {
		p.Call("setns", "network", unix.SYS_SETNS, int(ns[1].Fd()), unix.CLONE_NEWNET)
		// The next program has it, too.
		p.Call("fcntl", "payload", unix.SYS_FCNTL, int(payload.Fd()), unix.F_SETFD, 0)
	}})
	if err != nil {
		return false, err
	}
	defer child.Close()
	if err := release(notify, child); err != nil {
		_ = child.Kill()
		return false, err
	}
	return true, nil
}

func mainProcess(name string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	return cgroupsd.MainPID(ctx, name+".service")
}

func openProcess(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return os.NewFile(uintptr(fd), "payload"), nil
}

// ended passes over that a process is not there any more.
func ended(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
