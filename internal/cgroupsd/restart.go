// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"fmt"

	"github.com/unitc/unitc/internal/realm"
)

// StartAfterRestart queues the start of another unit if systemd has started a
// service again by itself.
func StartAfterRestart(ctx context.Context, service, other string) error {
	if n, ok := restartsByBus(service); ok && n == 0 {
		return nil
	}
	defer takeTurn(ctx)()
	m, err := Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	n, err := m.Restarts(ctx, service)
	if err != nil || n == 0 {
		return err
	}
	return m.StartUnit(ctx, other)
}

// restartsByBus is Manager.Restarts by way of the bus daemon, which costs PID 1 a
// fraction of what a connection to its private socket does (see Call). It tells too
// whether there was an answer.
func restartsByBus(service string) (n uint32, ok bool) {
	if realm.Own() != nil {
		return 0, false
	}
	c, err := dialBus()
	if err != nil {
		return 0, false
	}
	return c.restarts(service)
}

func (c *Call) restarts(service string) (n uint32, ok bool) {
	defer c.Close()
	body := make(wire, 0, 64)
	body.str(managerName + ".Service")
	body.str("NRestarts")
	c.request = call(2, unitPath(service), "org.freedesktop.DBus.Properties", "Get", managerName, "ss", body)
	c.proceed(true)
	if c.fd < 0 {
		return 0, false
	}
	answer, err := c.answer(true)
	// A variant of a number: its signature, and what that is aligned to.
	if err != nil || answer.kind != messageReply || len(answer.body) != 8 || string(answer.body[:3]) != "\x01u\x00" {
		return 0, false
	}
	return answer.order.Uint32(answer.body[4:]), true
}

// unitPath is the object of a unit, whether or not systemd has it loaded: all but
// letters and digits are written as numbers (sd_bus_path_encode(3)).
func unitPath(unit string) string {
	path := []byte(managerPath + "/unit/")
	for i, b := range []byte(unit) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9' && i > 0:
			path = append(path, b)
		default:
			path = fmt.Appendf(path, "_%02x", b)
		}
	}
	return string(path)
}

// OnFailure are the units that systemd starts when a unit that it has loaded
// fails.
func OnFailure(ctx context.Context, unit string) ([]string, error) {
	m, err := Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	v, err := m.property(ctx, unit, "Unit", "OnFailure")
	names, _ := v.Value().([]string)
	return names, err
}
