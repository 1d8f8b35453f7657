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
