// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// listed is a row of ListUnitsByPatterns.
type listed struct {
	Name, Description, Load, Active, Sub, Followed string
	Path                                           dbus.ObjectPath
	Job                                            uint32
	JobType                                        string
	JobPath                                        dbus.ObjectPath
}

// UnitState is what a unit does, and whether systemd is about to change that.
type UnitState struct {
	Active string
	Busy   bool
}

// States are those of all loaded units whose names match, in one question: it takes
// systemd and who asks less than two for each of them.
func (m *Manager) States(ctx context.Context, patterns ...string) (map[string]UnitState, error) {
	var units []listed
	if err := m.call(ctx, "ListUnitsByPatterns", &units, []string{}, patterns); err != nil {
		return nil, fmt.Errorf("listing units: %w", err)
	}
	states := make(map[string]UnitState, len(units))
	for _, u := range units {
		states[u.Name] = UnitState{u.Active, u.Job != 0}
	}
	return states, nil
}

// SocketUnit finds the active socket unit that listens on a port: "" = none
// does. The protocol is tcp, udp or sctp.
func SocketUnit(ctx context.Context, protocol string, port uint16) (string, error) {
	m, err := Connect(ctx)
	if err != nil {
		return "", err
	}
	defer m.Close()
	var units []listed
	if err := m.call(ctx, "ListUnitsByPatterns", &units, []string{"active"}, []string{"*.socket"}); err != nil {
		return "", err
	}
	for _, u := range units {
		var listens []struct{ Kind, Address string }
		v, err := m.get(ctx, u.Path, "Socket", "Listen")
		if err != nil || v.Store(&listens) != nil {
			continue // it has gone meanwhile
		}
		for _, l := range listens {
			// The protocol of a stream is the unit's SocketProtocol=, which only SCTP needs.
			kind := map[string]string{"tcp": "Stream", "udp": "Datagram", "sctp": "Stream"}[protocol]
			if l.Kind == kind && strings.HasSuffix(l.Address, fmt.Sprintf(":%d", port)) {
				return u.Name, nil
			}
		}
	}
	return "", nil
}
