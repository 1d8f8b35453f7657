// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
)

// StartUserScope is StartScope for one without privilege, whose own systemd
// makes the scope.
func StartUserScope(ctx context.Context, s *plan.Scope, pid int) error {
	props, err := scopeProperties(s, pid)
	if err != nil {
		return err
	}
	m, err := connectUser(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.startScope(ctx, s, props)
}

// SetUserScope is SetScope for a scope of the user's own systemd.
func SetUserScope(ctx context.Context, scope string, limits []definition.Directive) error {
	m, err := connectUser(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.setUnit(ctx, scope, limits)
}

// AwaitUserScope is AwaitScope for a scope of the user's own systemd, which leaves
// no mark of delegation: the directory belongs to the user (C-8).
func AwaitUserScope(ctx context.Context, s *plan.Scope, pid int, _ time.Duration) (*os.File, error) {
	for asked := time.Now(); ; {
		group, err := cgroupfs.Of(strconv.Itoa(pid))
		if err != nil {
			return nil, err
		}
		if path.Base(group) == s.Name {
			return os.OpenFile(cgroupfs.Mount()+group, unix.O_DIRECTORY, 0)
		}
		if time.Since(asked) > scopeLook {
			if hasFailed(ctx, s.Name) && !isIn(pid, s.Name) {
				return nil, &NotMovedError{PID: pid, From: group, Scope: s.Name}
			}
			asked = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("process %d is in %s and not in %s: the user's systemd did not start the scope: %w", pid, group, s.Name, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// scopeLook is how often a user's systemd is asked what has become of a scope.
const scopeLook = 300 * time.Millisecond

// NotMovedError tells of a scope that a user's systemd could not start.
type NotMovedError struct {
	PID         int
	From, Scope string
}

func (e *NotMovedError) Error() string {
	return fmt.Sprintf("the user's systemd could not move process %d from %s into %s (`journalctl --user -u %[3]s` says why)", e.PID, e.From, e.Scope)
}

// hasFailed tells of a scope whether its start is over, and it is not there.
func hasFailed(ctx context.Context, name string) bool {
	m, err := connectUser(ctx)
	if err != nil {
		return false
	}
	defer m.Close()
	state, err := m.ActiveState(ctx, name)
	if err == nil && (state == "inactive" || state == "failed") {
		busy, err := m.HasJob(ctx, name)
		return IsNotLoaded(err) || err == nil && !busy
	}
	return IsNotLoaded(err)
}

func isIn(pid int, scope string) bool {
	group, err := cgroupfs.Of(strconv.Itoa(pid))
	return err == nil && path.Base(group) == scope
}

// connectUser opens the private socket of the caller's own systemd.
func connectUser(ctx context.Context) (m *Manager, err error) {
	err = Patiently(ctx, func() error {
		m, err = connect(ctx, dialUser)
		return err
	})
	return m, err
}

func dialUser(ctx context.Context) (*dbus.Conn, error) {
	if u := realm.Own(); u != nil {
		conn, err := dialAs(ctx, u.Runtime+"/systemd/private", u.UID)
		if (errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT)) && !UserRuns() {
			return nil, &NotRunningError{u.UID}
		}
		if errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("%w; XDG_RUNTIME_DIR is that of the user's systemd, /run/user/%d where nothing says otherwise", err, u.UID)
		}
		return conn, err
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return nil, errors.New("the user's XDG_RUNTIME_DIR is not set; log in as the user, or have the cgroups made by hand (cgroupfs)")
	}
	uid, err := outerUID()
	if err != nil {
		return nil, err
	}
	return dialAs(ctx, dir+"/systemd/private", uid)
}

// NotRunningError tells of a user whose own systemd does not run: whoever waits for it
// waits for nothing.
type NotRunningError struct{ UID int }

func (e *NotRunningError) Error() string {
	return fmt.Sprintf("the user's systemd does not run; log in as the user, have it run always with `loginctl enable-linger`, or as root: `systemctl restart user@%d.service`", e.UID)
}

// UserRuns tells whether the user's systemd is there: while it begins anew nobody listens
// at its socket, either.
func UserRuns() bool {
	return cgroupfs.Populated(cgroupfs.Mount() + cgroupfs.OwnRoot())
}

func dialAs(ctx context.Context, path string, uid int) (*dbus.Conn, error) {
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the user's own: %w", err)
	}
	conn, err := introduce(ctx, sock, uid)
	if err != nil {
		sock.Close()
		return nil, fmt.Errorf("the user's own: %w", err)
	}
	return conn, nil
}

// introduce begins a conversation as a user with the id that the other end knows
// them by. The socket lies where only the user can have put it.
func introduce(ctx context.Context, sock *net.UnixConn, uid int) (*dbus.Conn, error) {
	private, err := greet(ctx, sock, uid)
	if err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(private)
	if err != nil {
		return nil, err
	}
	// greet has done it: see greeted.
	return conn, conn.Auth([]dbus.Auth{dbus.AuthExternal("")})
}

// outerUID is this process's user as those outside its user namespace see it:
// below a rootless engine it is root here and somebody there.
func outerUID() (int, error) {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, err
	}
	return mapped(string(b), os.Getuid())
}

// mapped reads a line "inside outside count" of uid_map (user_namespaces(7)).
func mapped(lines string, uid int) (int, error) {
	for line := range strings.Lines(lines) {
		var inside, outside, count int
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return 0, fmt.Errorf("uid_map %q: %w", line, err)
		}
		if uid >= inside && uid-inside < count {
			return outside + uid - inside, nil
		}
	}
	return 0, fmt.Errorf("user %d is not in %q", uid, lines)
}
