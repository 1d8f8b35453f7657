// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// privateSocket is PID 1's own: it answers before any bus daemon runs (S-11).
var privateSocket = "/run/systemd/private"

const (
	managerName = "org.freedesktop.systemd1"
	managerPath = "/org/freedesktop/systemd1"
)

// Manager is a connection to systemd.
type Manager struct {
	conn *dbus.Conn
	dial func(context.Context) (*dbus.Conn, error)
}

// Connect opens PID 1's private socket, or the system bus where there is none.
// ctx bounds the connection, not only its making. For a user it is their own systemd's.
func Connect(ctx context.Context) (*Manager, error) {
	if realm.Own() != nil {
		return connectUser(ctx)
	}
	return connect(ctx, connectSystem)
}

func connect(ctx context.Context, dial func(context.Context) (*dbus.Conn, error)) (*Manager, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	return &Manager{conn, dial}, nil
}

func connectSystem(ctx context.Context) (*dbus.Conn, error) {
	conn, err := connectPrivate(ctx)
	if errors.Is(err, os.ErrNotExist) {
		conn, err = dbus.ConnectSystemBus(dbus.WithContext(ctx))
	}
	return conn, err
}

// DialPrivate opens PID 1's private socket for those who speak more of its
// language than a launch does. ctx bounds the connection.
func DialPrivate(ctx context.Context) (*dbus.Conn, error) { return connectPrivate(ctx) }

func connectPrivate(ctx context.Context) (conn *dbus.Conn, err error) {
	err = Patiently(ctx, func() error {
		conn, err = connectNow(ctx)
		return err
	})
	return conn, err
}

func connectNow(ctx context.Context) (*dbus.Conn, error) {
	if realm.Own() != nil {
		return dialUser(ctx)
	}
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: privateSocket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := fromPID1(sock); err != nil {
		sock.Close()
		return nil, err
	}
	private, err := greet(ctx, sock, os.Getuid())
	if err != nil {
		sock.Close()
		return nil, err
	}
	conn, err := dbus.NewConn(private)
	if err != nil {
		sock.Close()
		return nil, err
	}
	// A direct connection: there is no bus to say Hello to.
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// fromPID1 makes sure that the other end is the system manager.
func fromPID1(sock *net.UnixConn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var wrong error
	if err := raw.Control(func(fd uintptr) { wrong = heldByPID1(int(fd), privateSocket) }); err != nil {
		return err
	}
	return wrong
}

func heldByPID1(fd int, path string) error {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if cred.Pid != 1 || cred.Uid != 0 {
		return fmt.Errorf("%s is held by process %d of user %d, not by PID 1", path, cred.Pid, cred.Uid)
	}
	return nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

func (m *Manager) call(ctx context.Context, method string, out any, args ...any) error {
	return m.ask(ctx, managerPath, managerName+".Manager."+method, out, args...)
}

// ask asks again of a systemd that has begun anew.
func (m *Manager) ask(ctx context.Context, path dbus.ObjectPath, method string, out any, args ...any) error {
	return Patiently(ctx, func() error {
		err := m.once(ctx, path, method, out, args...)
		if HungUp(err) {
			if next, dialErr := m.dial(ctx); dialErr == nil {
				m.conn.Close()
				m.conn = next
			}
		}
		return err
	})
}

func (m *Manager) once(ctx context.Context, path dbus.ObjectPath, method string, out any, args ...any) error {
	c := m.conn.Object(managerName, path).CallWithContext(ctx, method, 0, args...)
	if c.Err != nil || out == nil {
		return c.Err
	}
	return c.Store(out)
}

// get reads one property of an object.
func (m *Manager) get(ctx context.Context, path dbus.ObjectPath, kind, name string) (v dbus.Variant, err error) {
	err = m.ask(ctx, path, "org.freedesktop.DBus.Properties.Get", &v, managerName+"."+kind, name)
	return v, err
}

func (m *Manager) startTransient(ctx context.Context, name string, props []property) error {
	variants := make([]variantProperty, len(props))
	for i, p := range props {
		variants[i] = variantProperty{p.Name, dbus.MakeVariant(p.Value)}
	}
	return m.once(ctx, managerPath, managerName+".Manager.StartTransientUnit", nil, name, "fail", variants, []auxUnit{})
}

// StopUnit stops a unit that may or may not exist; the job is only queued.
func (m *Manager) StopUnit(ctx context.Context, name string) error {
	err := m.call(ctx, "StopUnit", nil, name, "replace")
	if errorName(err) == errNoSuchUnit {
		return nil
	}
	return err
}

// KillUnit ends all processes of a unit that may or may not exist. Unlike a stop
// it is no job, which would wait for those of the units that are ordered around.
func (m *Manager) KillUnit(ctx context.Context, name string) error {
	err := m.call(ctx, "KillUnit", nil, name, "all", int32(unix.SIGKILL))
	if errorName(err) == errNoSuchUnit {
		return nil
	}
	return err
}

// SignalUnit sends a signal to the main process of a service that may or may not be
// there.
func (m *Manager) SignalUnit(ctx context.Context, name string, signal unix.Signal) error {
	err := m.call(ctx, "KillUnit", nil, name, "main", int32(signal))
	if errorName(err) == errNoSuchUnit {
		return nil
	}
	return err
}

// StartUnit queues the start of a unit, unless that would undo a job that is
// queued already.
func (m *Manager) StartUnit(ctx context.Context, name string) error {
	return m.call(ctx, "StartUnit", nil, name, "fail")
}

// HasJob tells whether systemd is about to change the unit's state.
func (m *Manager) HasJob(ctx context.Context, name string) (bool, error) {
	v, err := m.property(ctx, name, "Unit", "Job")
	var job struct {
		ID   uint32
		Path dbus.ObjectPath
	}
	if err == nil {
		err = v.Store(&job)
	}
	return job.ID != 0, err
}

// IsNeeded tells whether units are active that systemd would stop with this one.
func (m *Manager) IsNeeded(ctx context.Context, name string) (bool, error) {
	for _, relation := range []string{"RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf"} {
		v, err := m.property(ctx, name, "Unit", relation)
		if err != nil {
			return false, err
		}
		units, _ := v.Value().([]string)
		for _, unit := range units {
			if strings.HasSuffix(unit, ".scope") || strings.HasSuffix(unit, ".mount") {
				continue // its own
			}
			state, err := m.ActiveState(ctx, unit)
			if IsNotLoaded(err) {
				continue
			}
			if err != nil || state == "active" || state == "reloading" || state == "activating" {
				return true, err
			}
		}
	}
	return false, nil
}

// Wants tells whether a unit wants another one by what systemd has read last.
func (m *Manager) Wants(ctx context.Context, unit, other string) (bool, error) {
	v, err := m.property(ctx, unit, "Unit", "Wants")
	units, _ := v.Value().([]string)
	return slices.Contains(units, other), err
}

// property reads one property of a unit; one that is not loaded gives the error
// NoSuchUnit.
func (m *Manager) property(ctx context.Context, unit, kind, name string) (v dbus.Variant, err error) {
	var path dbus.ObjectPath
	if err := m.call(ctx, "GetUnit", &path, unit); err != nil {
		return v, err
	}
	return m.get(ctx, path, kind, name)
}

// Restarts is how often systemd has restarted a service by itself (NRestarts=).
func (m *Manager) Restarts(ctx context.Context, unit string) (uint32, error) {
	v, err := m.property(ctx, unit, "Service", "NRestarts")
	n, _ := v.Value().(uint32)
	return n, err
}

// MainStart is when the main process of a service began, of the monotonic clock.
func (m *Manager) MainStart(ctx context.Context, unit string) (time.Duration, error) {
	v, err := m.property(ctx, unit, "Service", "ExecMainStartTimestampMonotonic")
	n, _ := v.Value().(uint64)
	return time.Duration(n) * time.Microsecond, err
}

// ActiveState is the unit's ActiveState=.
func (m *Manager) ActiveState(ctx context.Context, name string) (string, error) {
	v, err := m.property(ctx, name, "Unit", "ActiveState")
	if err != nil {
		return "", err
	}
	s, _ := v.Value().(string)
	return s, nil
}

// Environment is what units of this systemd get that set nothing else, and its
// generators.
func (m *Manager) Environment(ctx context.Context) ([]string, error) {
	v, err := m.get(ctx, managerPath, "Manager", "Environment")
	list, _ := v.Value().([]string)
	return list, err
}

// MainPID is the main process of a running service; 0 = it has none.
func MainPID(ctx context.Context, name string) (int, error) {
	m, err := Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return m.MainPID(ctx, name)
}

// MainPID is the function of that name over this connection.
func (m *Manager) MainPID(ctx context.Context, name string) (int, error) {
	v, err := m.property(ctx, name, "Service", "MainPID")
	if IsNotLoaded(err) {
		return 0, nil
	}
	pid, _ := v.Value().(uint32)
	return int(pid), err
}

// IsNotLoaded tells whether systemd knows nothing of the unit that was asked for.
func IsNotLoaded(err error) bool { return err != nil && errorName(err) == errNoSuchUnit }
