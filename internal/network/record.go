// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/unitc/unitc/internal/network/lease"
)

// newRecord chooses what a container has in a network: addresses, the MAC
// address, the names of both ends.
func newRecord(locked *lease.Locked, n *lease.Network, r *Request, a Attachment, index int) (*lease.Record, error) {
	record := &lease.Record{
		Container: r.Container, Invocation: r.Invocation, Network: n.Name, Aliases: slices.Concat(r.Aliases, a.Aliases), DNS: r.DNS,
		Interface: a.Interface, MAC: a.MAC,
	}
	for _, l := range r.Links {
		if record.Links == nil {
			record.Links = map[string]string{}
		}
		record.Links[l.Alias] = l.Service
	}
	if record.Interface == "" {
		record.Interface = "eth" + strconv.Itoa(index)
	}
	if n.Driver == lease.Bridge {
		record.Link = linkName(r.Container, n.Name)
	}
	if record.MAC == "" && n.Driver != lease.Ipvlan && n.Driver != lease.Pasta {
		record.MAC = macOf(r.Container + "/" + n.Name)
	}
	if _, err := net.ParseMAC(record.MAC); record.MAC != "" && err != nil {
		return nil, &Fault{"networks." + n.Name + ".mac_address", err.Error(), "write for example 02:42:ac:11:65:43"}
	}
	for _, family := range []struct {
		key, asked string
		is         func(netip.Addr) bool
		into       *netip.Addr
	}{
		{"ipv4_address", a.IPv4, netip.Addr.Is4, &record.IPv4},
		{"ipv6_address", a.IPv6, netip.Addr.Is6, &record.IPv6},
	} {
		key := "networks." + n.Name + "." + family.key
		address, err := choose(locked, n, r.Container, key, family.asked, family.is)
		if err != nil {
			return nil, staleCure(locked, n, a.Definition, err)
		}
		*family.into = address
	}
	return record, nil
}

// choose gives the address that was asked for, or a free one; none where the
// network has none of its family.
func choose(locked *lease.Locked, n *lease.Network, container, key, asked string, is func(netip.Addr) bool) (netip.Addr, error) {
	i := slices.IndexFunc(n.Subnets, func(s lease.Subnet) bool { return is(s.Prefix.Addr()) })
	if asked == "" {
		if i < 0 {
			return netip.Addr{}, nil
		}
		return locked.Pick(n, &n.Subnets[i], container)
	}
	address, err := netip.ParseAddr(asked)
	if err != nil || !is(address) {
		return netip.Addr{}, &Fault{key, asked + " is no address of this kind", "correct it"}
	}
	if i < 0 || !n.Subnets[i].Claimable(address) {
		return netip.Addr{}, &Fault{key, fmt.Sprintf("%s cannot be had in %s", address, prefixes(n)), "choose an address of its range that is neither the first, the last nor the gateway"}
	}
	taken, err := locked.Taken(n.Name)
	if err != nil {
		return netip.Addr{}, err
	}
	if holder := taken[address]; holder != "" {
		return netip.Addr{}, &Fault{key, fmt.Sprintf("%s is %s's", address, holder), "choose another address, or stop " + holder}
	}
	return address, nil
}

func prefixes(n *lease.Network) string {
	if len(n.Subnets) == 0 {
		return "a network without addresses"
	}
	text := ""
	for _, s := range n.Subnets {
		text += " " + s.Prefix.String()
	}
	return text[1:]
}

// macOf is a locally administered address that follows from a name: a
// container that comes back is the one that its neighbours remember.
func macOf(name string) string {
	h := lease.Hash(name)
	return net.HardwareAddr{0x02, byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32)}.String()
}
