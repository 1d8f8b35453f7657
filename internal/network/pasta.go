// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// PastaNetwork stands in the place of a definition for `network_mode: pasta`.
func PastaNetwork() *definition.Network {
	return &definition.Network{Key: "network_mode", Name: lease.PastaName, Driver: lease.Pasta}
}

// IsPasta tells whether a process alone connects the container.
func (c *Claim) IsPasta() bool {
	return c != nil && len(c.places) > 0 && c.places[0].network.Driver == lease.Pasta
}

// PastaOptions are the words of pasta(1) that make the container's interface and
// open its ports, of which systemd's sockets have some. The container sees the host's addresses and routes as its
// own; what the host has on its loopback stays closed to it.
func (c *Claim) PastaOptions() []string {
	p := c.pastaPlace().record
	list := []string{"--config-net", "--quiet", "--no-map-gw", "--ns-ifname", p.Interface}
	if c.IsPasta() {
		list = append(list, "--dns-forward", lease.Resolver.String())
	}
	for _, way := range []struct{ protocol, option string }{{"tcp", "-t"}, {"udp", "-u"}} {
		opened := false
		for _, port := range p.Ports {
			if port.Protocol == way.protocol && !port.Activated && !inBoth(p.Ports, port) {
				list, opened = append(list, way.option, pastaPort(port)), true
			}
		}
		if !opened {
			list = append(list, way.option, "none")
		}
	}
	return append(list, "-T", "none", "-U", "none")
}

// ConfigurePasta does what is left to do when the interface is there.
func (c *Claim) ConfigurePasta(ns *os.File) error { return within(ns, c.askedSysctls) }

func pastaPort(p lease.Port) string {
	if p.Host == netip.IPv4Unspecified() {
		return fmt.Sprintf("%d:%d", p.Port, p.Target) // one socket has both families
	}
	return fmt.Sprintf("%s/%d:%d", p.Host, p.Port, p.Target)
}

// inBoth tells whether a port of all IPv6 addresses is open by the one of all of
// IPv4.
func inBoth(ports []lease.Port, p lease.Port) bool {
	return p.Host == netip.IPv6Unspecified() && slices.ContainsFunc(ports, func(q lease.Port) bool {
		return q.Protocol == p.Protocol && q.Port == p.Port && q.Host == netip.IPv4Unspecified() && !q.Activated
	})
}
