// SPDX-License-Identifier: Apache-2.0

// Package units asks systemd what runs. systemd is the database: nothing is
// remembered here, and the only files read are those of the generator, which
// tell our units from others'.
package units

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Bus is what is asked of systemd.
type Bus interface {
	ListUnitsContext(ctx context.Context) ([]dbus.UnitStatus, error)
	GetUnitPropertyContext(ctx context.Context, unit, name string) (*dbus.Property, error)
	GetUnitTypePropertyContext(ctx context.Context, unit, unitType, name string) (*dbus.Property, error)
	Close()
}

// ErrNoSystemd is a machine whose PID 1 is another.
var ErrNoSystemd = errors.New("systemd does not run here (there is no /run/systemd/system)")

// booted is sd_booted(3).
const booted = "/run/systemd/system"

// Booted gives ErrNoSystemd where systemd is not PID 1.
func Booted() error {
	if st, err := os.Lstat(booted); err != nil || !st.IsDir() {
		return ErrNoSystemd
	}
	return nil
}

// Connect opens systemd's bus: root its private socket, which is there before
// dbus is (S-11), others the system bus.
func Connect(ctx context.Context) (Bus, error) {
	if err := Booted(); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		conn, err := dbus.NewSystemdConnectionContext(ctx)
		if err == nil {
			return conn, nil
		}
	}
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd over the system bus: %w", err)
	}
	return conn, nil
}
