// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"
)

var systemBus = sync.OnceValues(func() (*dbus.Conn, error) { return dbus.NewSystemConnectionContext(context.Background()) })

// show is a property of a unit, a word or a number, as `systemctl show` prints it.
// To start that program takes an emulated machine half a second, to ask does not.
func show(t *testing.T, unit, property string) string {
	t.Helper()
	if value, err := ask(t, unit, property); err == nil {
		return value
	}
	return run(t, "systemctl", "show", "--value", "-p", property, unit)
}

func ask(t *testing.T, unit, property string) (string, error) {
	conn, err := systemBus()
	if err != nil {
		return "", err
	}
	if filepath.Ext(unit) == "" {
		unit += ".service"
	}
	kind := strings.TrimPrefix(filepath.Ext(unit), ".")
	value, err := conn.GetUnitPropertyContext(t.Context(), unit, property)
	if err != nil { // it is not one that all kinds of units have
		value, err = conn.GetUnitTypePropertyContext(t.Context(), unit, strings.ToUpper(kind[:1])+kind[1:], property)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprint(value.Value.Value()), nil
}
