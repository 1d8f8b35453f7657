// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import "context"

// StartAfterRestart queues the start of another unit if systemd has started a
// service again by itself.
func StartAfterRestart(ctx context.Context, service, other string) error {
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
