// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"net/netip"
	"strings"
)

// Resolver is where containers ask for names: an address that every bridge
// has beside its own, so that one socket serves all networks and what stands in
// a container's resolv.conf is known before its network is. Resolver6 is for
// containers without IPv4.
var (
	Resolver  = netip.MustParseAddr("169.254.53.53")
	Resolver6 = netip.MustParseAddr("fd75:6e69:7463::53")
)

// IsResolver tells whether an address is one of the two.
func IsResolver(a netip.Addr) bool { return a == Resolver || a == Resolver6 }

// ParseResolv reads what unitc needs of resolv.conf(5).
func ParseResolv(text string) (servers, search, options []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			servers = append(servers, f[1])
		case "search", "domain":
			search = f[1:]
		case "options":
			options = append(options, f[1:]...)
		}
	}
	return servers, search, options
}
