// SPDX-License-Identifier: Apache-2.0

// Package units asks systemd what runs. systemd is the database: nothing is
// remembered here, and the only files read are those of the generator, which
// tell our units from others'.
package units

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/realm"
)

// Bus is what is asked of systemd.
type Bus interface {
	// ListServices gives the services that systemd has loaded.
	ListServices(ctx context.Context) ([]dbus.UnitStatus, error)
	GetUnitPropertyContext(ctx context.Context, unit, name string) (*dbus.Property, error)
	GetUnitTypePropertyContext(ctx context.Context, unit, unitType, name string) (*dbus.Property, error)
	KillUnitWithTarget(ctx context.Context, name string, target dbus.Who, signal int32) error
	FreezeUnit(ctx context.Context, unit string) error
	ThawUnit(ctx context.Context, unit string) error
	GetManagerProperty(name string) (string, error)
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
	if realm.Own() != nil {
		return shared{&line{ctx: ctx, dial: openPrivate}}, nil
	}
	if os.Geteuid() == 0 {
		return direct{shared{&line{ctx: ctx, dial: openEither}}}, nil
	}
	l := &line{ctx: ctx, dial: openShared}
	if _, err := l.get(); err != nil {
		return nil, err
	}
	return shared{l}, nil
}

// BusError is a system bus that does not answer: those who are not root reach
// systemd by no other way.
type BusError struct{ err error }

func (e *BusError) Error() string {
	return "connecting to systemd over the system bus: " + e.err.Error()
}

func (e *BusError) Unwrap() error { return e.err }

// denials are how systemd and the bus say that one may not.
var denials = []string{"org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.DBus.Error.AuthFailed"}

// IsDenied tells whether systemd has refused for want of a permission.
func IsDenied(err error) bool {
	var refused godbus.Error
	return errors.As(err, &refused) && slices.Contains(denials, refused.Name)
}
