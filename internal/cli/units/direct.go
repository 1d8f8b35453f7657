// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/cgroupsd"
)

// services is the pattern of what is listed: where there are a thousand
// containers there are a thousand scopes, and more.
var services = []string{"*.service"}

// shared is systemd on the system bus.
type shared struct{ *dbus.Conn }

func (s shared) ListServices(ctx context.Context) ([]dbus.UnitStatus, error) {
	return s.ListUnitsByPatternsContext(ctx, nil, services)
}

// direct is PID 1's private socket. The list of units is asked for by itself,
// and a connection for all else is opened when there is something else to ask:
// to `unitc ps` there mostly is not.
type direct struct {
	ctx  context.Context
	once sync.Once
	conn *dbus.Conn
	err  error
}

func (d *direct) open() (*dbus.Conn, error) {
	d.once.Do(func() {
		d.conn, d.err = dbus.NewConnection(func() (*godbus.Conn, error) { return cgroupsd.DialPrivate(d.ctx) })
		if d.err != nil {
			d.conn, d.err = openShared(d.ctx)
		}
	})
	return d.conn, d.err
}

func openShared(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, &BusError{err}
	}
	return conn, nil
}

func (d *direct) Close() {
	if d.conn != nil {
		d.conn.Close()
	}
}

func (d *direct) ListServices(ctx context.Context) ([]dbus.UnitStatus, error) {
	answer, err := cgroupsd.AskPrivate(ctx, "ListUnitsByPatterns", []string{}, services)
	var refused godbus.Error
	switch {
	case err == nil:
		return readUnits(answer)
	case errors.As(err, &refused):
		return nil, err
	}
	// No private socket, or not PID 1's.
	conn, err := d.open()
	if err != nil {
		return nil, err
	}
	return shared{conn}.ListServices(ctx)
}

// words that nearly every unit has take no memory of their own.
var words = func() map[string]string {
	m := map[string]string{}
	for _, w := range []string{"", "/", "loaded", "not-found", "active", "inactive", "running", "dead", "exited"} {
		m[w] = w
	}
	return m
}()

// word is Answer.Text for what is mostly one of few.
func word(a cgroupsd.Answer, at int) (string, int) {
	b, at := a.Bytes(at)
	if w, ok := words[string(b)]; ok {
		return w, at
	}
	return string(b), at
}

var errListShort = errors.New("systemd's list of units ends too soon")

// readUnits reads an a(ssssssouso): an array of structures, each aligned to 8
// bytes (org.freedesktop.systemd1(5), ListUnits).
func readUnits(a cgroupsd.Answer) ([]dbus.UnitStatus, error) {
	length, at := a.Number(0)
	if at < 0 || int(length) > len(a.Body) {
		return nil, errListShort
	}
	at = (at + 7) &^ 7
	end := at + int(length)
	list := make([]dbus.UnitStatus, 0, int(length)/256)
	for at < end {
		var u dbus.UnitStatus
		var job, path string
		at = (at + 7) &^ 7
		u.Name, at = a.Text(at)
		u.Description, at = a.Text(at)
		for _, into := range []*string{&u.LoadState, &u.ActiveState, &u.SubState, &u.Followed} {
			*into, at = word(a, at)
		}
		path, at = a.Text(at)
		u.JobId, at = a.Number(at)
		u.JobType, at = word(a, at)
		if job, at = word(a, at); at < 0 {
			return nil, errListShort
		}
		u.Path, u.JobPath = godbus.ObjectPath(path), godbus.ObjectPath(job)
		list = append(list, u)
	}
	return list, nil
}

func (d *direct) GetUnitPropertyContext(ctx context.Context, unit, name string) (*dbus.Property, error) {
	conn, err := d.open()
	if err != nil {
		return nil, err
	}
	return conn.GetUnitPropertyContext(ctx, unit, name)
}

func (d *direct) GetUnitTypePropertyContext(ctx context.Context, unit, unitType, name string) (*dbus.Property, error) {
	conn, err := d.open()
	if err != nil {
		return nil, err
	}
	return conn.GetUnitTypePropertyContext(ctx, unit, unitType, name)
}

func (d *direct) KillUnitWithTarget(ctx context.Context, name string, target dbus.Who, signal int32) error {
	conn, err := d.open()
	if err != nil {
		return err
	}
	return conn.KillUnitWithTarget(ctx, name, target, signal)
}

func (d *direct) FreezeUnit(ctx context.Context, unit string) error {
	conn, err := d.open()
	if err != nil {
		return err
	}
	return conn.FreezeUnit(ctx, unit)
}

func (d *direct) ThawUnit(ctx context.Context, unit string) error {
	conn, err := d.open()
	if err != nil {
		return err
	}
	return conn.ThawUnit(ctx, unit)
}

func (d *direct) GetManagerProperty(name string) (string, error) {
	conn, err := d.open()
	if err != nil {
		return "", err
	}
	return conn.GetManagerProperty(name)
}
