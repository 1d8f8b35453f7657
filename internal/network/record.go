// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/unitc/unitc/internal/network/lease"
)

// newRecord chooses what a container has in a network: addresses, the MAC
// address, the names of both ends.
func newRecord(locked *lease.Locked, n *lease.Network, r *Request, a Attachment) (*lease.Record, error) {
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
	if n.Driver == lease.Bridge {
		record.Link = linkName(r.Container, n.Name)
	}
	switch {
	case record.MAC != "":
		if err := claimableMAC(locked, n, record.MAC); err != nil {
			return nil, err
		}
	case n.Driver != lease.Ipvlan && n.Driver != lease.Pasta:
		record.MAC = macOf(r.Container + "/" + n.Name)
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
		address, err := choose(locked, n, r.Container, key, family.asked, family.is, a.Definition.Reserved)
		if err != nil {
			return nil, staleCure(locked, n, a.Definition, err)
		}
		*family.into = address
	}
	return record, nil
}

// claimableMAC: an address that was written is nobody else's on the network.
func claimableMAC(locked *lease.Locked, n *lease.Network, text string) error {
	key := "networks." + n.Name + ".mac_address"
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil:
		return &Fault{key, err.Error(), "write for example 02:42:ac:11:65:43"}
	case n.Driver == lease.Ipvlan:
		return &Fault{key, "on an ipvlan all have the MAC address of the host's interface", "remove it, or write driver: macvlan"}
	case mac[0]&1 != 0:
		return &Fault{key, text + " is the address of a group (multicast)", "write for example 02:42:ac:11:65:43"}
	}
	others, err := locked.Records(n.Name)
	if err != nil {
		return err
	}
	for _, other := range others {
		// They are as somebody has written them: in any case, with any separator.
		if taken, err := net.ParseMAC(other.MAC); err == nil && bytes.Equal(taken, mac) {
			return &Fault{key, fmt.Sprintf("%s is %s's", text, other.Container), "choose another address, or stop " + other.Container}
		}
	}
	return nil
}

// nameInterfaces numbers those without a name in their order; a number that somebody
// has written is not given twice.
func nameInterfaces(asked []Attachment) {
	taken := map[string]bool{}
	for _, a := range asked {
		taken[a.Interface] = true
	}
	for i := range asked {
		if asked[i].Interface != "" {
			continue
		}
		name := "eth" + strconv.Itoa(i)
		for n := 0; taken[name]; n++ {
			name = "eth" + strconv.Itoa(n)
		}
		asked[i].Interface, taken[name] = name, true
	}
}

// choose gives the address that was asked for, or a free one of the first range that
// has one; none where the network has none of its family.
func choose(locked *lease.Locked, n *lease.Network, container, key, asked string, is func(netip.Addr) bool, others []string) (a netip.Addr, err error) {
	if asked == "" {
		var reserved []netip.Addr
		for _, text := range others {
			if a, err := netip.ParseAddr(text); err == nil {
				reserved = append(reserved, a)
			}
		}
		for i := range n.Subnets {
			if !is(n.Subnets[i].Prefix.Addr()) {
				continue
			}
			if a, err = locked.Pick(n, &n.Subnets[i], container, reserved...); !errors.Is(err, lease.ErrFull) {
				return a, err
			}
		}
		return a, err
	}
	address, err := netip.ParseAddr(asked)
	if err != nil || !is(address) {
		return netip.Addr{}, &Fault{key, asked + " is no address of this kind", "correct it"}
	}
	if !slices.ContainsFunc(n.Subnets, func(s lease.Subnet) bool { return s.Claimable(address) }) {
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
