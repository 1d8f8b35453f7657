// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/cgroupsd"
)

// services is the pattern of what is listed: where there are a thousand
// containers there are a thousand scopes, and more.
var services = []string{"*.service"}

// shared is systemd on the system bus.
type shared struct{ *line }

func (s shared) ListServices(ctx context.Context) ([]dbus.UnitStatus, error) {
	return ask(ctx, s.line, func(conn *dbus.Conn) ([]dbus.UnitStatus, error) {
		return conn.ListUnitsByPatternsContext(ctx, nil, services)
	})
}

// direct is PID 1's private socket. The list of units is asked for by itself,
// and a connection for all else is opened when there is something else to ask:
// to `unitc ps` there mostly is not.
type direct struct{ shared }

func (d direct) ListServices(ctx context.Context) (list []dbus.UnitStatus, err error) {
	err = again(ctx, func() error {
		var answer cgroupsd.Answer
		if answer, err = cgroupsd.AskPrivate(ctx, "ListUnitsByPatterns", []string{}, services); err == nil {
			list, err = readUnits(answer)
		}
		return err
	})
	var refused godbus.Error
	if err == nil || errors.As(err, &refused) {
		return list, err
	}
	// No private socket, or not PID 1's.
	return d.shared.ListServices(ctx)
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
