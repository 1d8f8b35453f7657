// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"
)

// End is how a service has ended, as systemd keeps it until the next start.
type End struct {
	Invocation string
	// Failed: nothing of it runs, and systemd calls its end a failure.
	Failed bool
	Result string
	// Code and Status are waitid(2)'s of the main process; Code is 0 where there
	// was none.
	Code, Status int32
	// Ended is the main process's end; where there was none, the unit's. At is the same
	// of the monotonic clock, and so is Began, when that process began.
	Ended     time.Time
	At, Began time.Duration
	Restarts  uint32
}

// LastEnd is what systemd knows of a service's last end.
func LastEnd(ctx context.Context, unit string) (*End, error) {
	m, err := Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var path dbus.ObjectPath
	if err := m.call(ctx, "GetUnit", &path, unit); err != nil {
		return nil, err
	}
	// All at once: between two questions it may be started.
	var all map[string]dbus.Variant
	if err := m.ask(ctx, path, "org.freedesktop.DBus.Properties.GetAll", &all, ""); err != nil {
		return nil, err
	}
	return readEnd(all), nil
}

func readEnd(all map[string]dbus.Variant) *End {
	text := func(name string) string { s, _ := all[name].Value().(string); return s }
	number := func(name string) int32 { n, _ := all[name].Value().(int32); return n }
	us := func(name string) uint64 { n, _ := all[name].Value().(uint64); return n }
	at := func(name string) (t time.Time) {
		if n := us(name); n > 0 {
			t = time.UnixMicro(int64(n))
		}
		return t
	}
	monotonic := func(name string) time.Duration { return time.Duration(us(name+"Monotonic")) * time.Microsecond }
	ended := "ExecMainExitTimestamp"
	if us(ended) == 0 {
		ended = "StateChangeTimestamp"
	}
	id, _ := all["InvocationID"].Value().([]byte)
	restarts, _ := all["NRestarts"].Value().(uint32)
	hasEnded := text("ActiveState") == "failed" || slices.Contains(restarting, text("SubState"))
	return &End{
		Invocation: hex.EncodeToString(id), Failed: hasEnded && text("Result") != "success", Result: text("Result"),
		Code: number("ExecMainCode"), Status: number("ExecMainStatus"), Restarts: restarts,
		Ended: at(ended), At: monotonic(ended), Began: monotonic("ExecMainStartTimestamp"),
	}
}

// restarting are the states of a service that has ended and will be started again.
var restarting = []string{"auto-restart", "auto-restart-queued"}

// FailedServices are the names of services whose last end was a failure, also of
// those that will be started again.
func FailedServices(ctx context.Context) (names []string, err error) {
	m, err := Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var units [][]any
	if err := m.call(ctx, "ListUnitsByPatterns", &units, append([]string{"failed"}, restarting...), []string{"*.service"}); err != nil {
		return nil, err
	}
	for _, u := range units {
		if name, isName := u[0].(string); isName {
			names = append(names, name)
		}
	}
	return names, nil
}
