// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

func TestOutdated(t *testing.T) {
	subnet := func(s string) []definition.Subnet { return []definition.Subnet{{Subnet: s}} }
	for _, c := range []struct {
		name    string
		was, is definition.Network
		want    string
	}{
		{"the same", definition.Network{Subnets: subnet("192.0.2.0/24")}, definition.Network{Subnets: subnet("192.0.2.0/24")}, "[]"},
		{"a range chosen by itself", definition.Network{}, definition.Network{}, "[]"},
		{"a range no longer written", definition.Network{Subnets: subnet("192.0.2.0/24")}, definition.Network{}, "[]"},
		{"another range", definition.Network{Subnets: subnet("192.0.2.0/24")}, definition.Network{Subnets: subnet("198.51.100.0/24")}, "[{ipv4 192.0.2.0/24 198.51.100.0/24}]"},
		{"a range is written", definition.Network{}, definition.Network{Subnets: subnet("198.51.100.0/24")}, "[{ipv4 10.208.0.0/22 198.51.100.0/24}]"},
		{"another gateway", definition.Network{Subnets: subnet("192.0.2.0/24")}, definition.Network{Subnets: []definition.Subnet{{Subnet: "192.0.2.0/24", Gateway: "192.0.2.9"}}}, "[{ipv4 192.0.2.0/24 192.0.2.0/24 gateway 192.0.2.9}]"},
		{"IPv6 comes", definition.Network{}, definition.Network{IPv6: true}, "[{ipv6  a range of its own}]"},
		{"no way out", definition.Network{}, definition.Network{Internal: true}, "[{internal false true} {masquerade true false}]"},
		{"an option", definition.Network{}, definition.Network{Options: []definition.KeyValue{{Key: "mtu", Value: "1400"}}}, "[{mtu 0 1400}]"},
		{"a fault", definition.Network{}, definition.Network{Driver: "overlay"}, "[]"},
	} {
		n, err := settle(&c.was)
		if err != nil {
			t.Fatal(err)
		}
		if len(n.Subnets) == 0 {
			p := netip.MustParsePrefix("10.208.0.0/22") // as complete chooses one
			n.Subnets = []lease.Subnet{{Prefix: p, Range: p, Gateway: lease.Nth(p, 1)}}
		}
		if got := fmt.Sprint(Outdated(n, &c.is)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
