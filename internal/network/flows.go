// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
)

// flows are the kernel's memories of packets to a container's ports. The NAT
// chains see the first packet of a flow only: a client that does not stop
// sending would be led where its first packet was, to a container that has
// gone or to nobody at all, for as long as it sends.
type flows struct {
	ports []lease.Port
	own   []netip.Addr // the container's
}

// forgetFlows makes the kernel decide anew. TCP needs none of it: its flows end
// with their connections. What cannot be forgotten ends by itself within
// minutes, so that an error is none of the caller's.
func forgetFlows(records ...lease.Record) {
	f := &flows{}
	families := map[netlink.InetFamily]bool{}
	for _, r := range records {
		f.own = append(f.own, r.Addresses()...)
		for _, p := range r.Ports {
			if p.Protocol == "tcp" {
				continue
			}
			f.ports = append(f.ports, p)
			if p.Host.Is6() {
				families[unix.AF_INET6] = true
			} else {
				families[unix.AF_INET] = true
			}
		}
	}
	for family := range families {
		// One listing, whatever the number of ports.
		_, _ = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, f)
	}
}

// MatchConntrackFlow matches what goes to one of the ports and was led to the
// container, or nowhere else. Other flows to a port of that number, such as
// the host's own questions to a name server, are somebody else's.
func (f *flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	to, from := address(flow.Forward.DstIP), address(flow.Forward.SrcIP)
	answers, back := address(flow.Reverse.SrcIP), address(flow.Reverse.DstIP)
	if !slices.Contains(f.own, answers) && (answers != to || back != from) {
		return false
	}
	return slices.ContainsFunc(f.ports, func(p lease.Port) bool {
		return protocols[p.Protocol] == flow.Forward.Protocol && p.Port == flow.Forward.DstPort &&
			p.Host.Is4() == to.Is4() && (p.Host.IsUnspecified() || p.Host == to)
	})
}

func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
