// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/cgroupsd"
)

// line is a connection to systemd that is opened when there is something to ask,
// and anew when systemd has begun anew (systemctl daemon-reexec, an update of its
// package), which ends all connections and nothing that systemd does.
type line struct {
	ctx  context.Context
	dial func(context.Context) (*dbus.Conn, error)

	mu    sync.Mutex
	conn  *dbus.Conn
	times int // how often it was opened
}

// get gives the connection of now.
func (l *line) get() (*dbus.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return l.conn, nil
	}
	conn, err := l.dial(l.ctx)
	if err == nil {
		l.conn = conn
		l.times++
	}
	return conn, err
}

// opened is how often there was another connection.
func (l *line) opened() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times
}

// drop closes a connection that is over, unless another has done it.
func (l *line) drop(conn *dbus.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == conn && conn != nil {
		conn.Close()
		l.conn = nil
	}
}

// Close ends the connection.
func (l *line) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
	}
}

// ask puts a question, and again to a systemd that has begun anew.
func ask[T any](ctx context.Context, l *line, question func(*dbus.Conn) (T, error)) (answer T, err error) {
	err = again(ctx, func() error {
		var conn *dbus.Conn
		if conn, err = l.get(); err != nil {
			return err
		}
		if answer, err = question(conn); isLost(err) {
			l.drop(conn)
		}
		return err
	})
	return answer, err
}

// do is ask for what has no answer.
func do(ctx context.Context, l *line, question func(*dbus.Conn) error) error {
	_, err := ask(ctx, l, func(conn *dbus.Conn) (struct{}, error) { return struct{}{}, question(conn) })
	return err
}

// again tries until somebody answers.
func again(ctx context.Context, try func() error) error {
	err := try()
	for deadline := time.Now().Add(cgroupsd.AnewPatience); isLost(err) && ctx.Err() == nil && time.Now().Before(deadline); err = try() {
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// noReply is how a bus daemon says that the one who was asked has left the bus.
const noReply = "org.freedesktop.DBus.Error.NoReply"

// isLost tells of an error whether it is the end of the connection, or of
// systemd's own to the bus.
func isLost(err error) bool {
	var refused godbus.Error
	if errors.As(err, &refused) {
		return refused.Name == noReply
	}
	return cgroupsd.BeginsAnew(err)
}

func openPrivate(ctx context.Context) (*dbus.Conn, error) {
	return dbus.NewConnection(func() (*godbus.Conn, error) { return cgroupsd.DialPrivate(ctx) })
}

// openEither is PID 1's private socket, or the system bus where there is none.
func openEither(ctx context.Context) (*dbus.Conn, error) {
	if conn, err := openPrivate(ctx); err == nil {
		return conn, nil
	}
	return openShared(ctx)
}

func openShared(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, &BusError{err}
	}
	return conn, nil
}

func (l *line) GetUnitPropertyContext(ctx context.Context, unit, name string) (*dbus.Property, error) {
	return ask(ctx, l, func(conn *dbus.Conn) (*dbus.Property, error) { return conn.GetUnitPropertyContext(ctx, unit, name) })
}

func (l *line) GetUnitTypePropertyContext(ctx context.Context, unit, unitType, name string) (*dbus.Property, error) {
	return ask(ctx, l, func(conn *dbus.Conn) (*dbus.Property, error) {
		return conn.GetUnitTypePropertyContext(ctx, unit, unitType, name)
	})
}

func (l *line) KillUnitWithTarget(ctx context.Context, name string, target dbus.Who, signal int32) error {
	return do(ctx, l, func(conn *dbus.Conn) error { return conn.KillUnitWithTarget(ctx, name, target, signal) })
}

func (l *line) FreezeUnit(ctx context.Context, unit string) error {
	return do(ctx, l, func(conn *dbus.Conn) error { return conn.FreezeUnit(ctx, unit) })
}

func (l *line) ThawUnit(ctx context.Context, unit string) error {
	return do(ctx, l, func(conn *dbus.Conn) error { return conn.ThawUnit(ctx, unit) })
}

func (l *line) GetManagerProperty(name string) (string, error) {
	return ask(l.ctx, l, func(conn *dbus.Conn) (string, error) { return conn.GetManagerProperty(name) })
}
