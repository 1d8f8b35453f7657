// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
)

// pool is where subnets come from that no definition chooses: 1,024 of 1,022
// addresses, in a part of RFC 1918 that neither Docker nor Podman nor home
// routers use by default.
var pool = netip.MustParsePrefix("10.208.0.0/12")

const poolBits = 22

// settle makes of a definition the network that will be: names and options,
// and the subnets that it gives itself. What is left open is chosen by ensure.
func settle(d *definition.Network) (*lease.Network, error) {
	n := &lease.Network{Name: d.Name, Driver: d.Driver, Internal: d.Internal}
	if d.Driver == lease.Pasta && d.Name == lease.PastaName {
		return n, nil
	}
	for _, f := range d.Faults() {
		return nil, &Fault{strings.TrimSuffix("networks."+d.Key+"."+f.Key, "."), f.What, f.Cure}
	}
	if n.Driver == "" || n.Driver == lease.Bridge {
		n.Driver, n.Link, n.Masquerade = lease.Bridge, bridgeName(d.Name), !d.Internal
	}
	for _, o := range d.Options {
		option(n, definition.OptionName(o.Key), o.Value)
	}
	for _, s := range d.Subnets {
		if r, _, err := s.Parse(); err == nil && r.Prefix.IsValid() {
			n.Subnets = append(n.Subnets, lease.Subnet{Prefix: r.Prefix, Range: r.Part, Gateway: r.Gateway, Taken: r.Taken})
		}
	}
	return n, nil
}

// option heeds a driver option, whose value was checked.
func option(n *lease.Network, name, value string) {
	switch name {
	case "mtu":
		n.MTU, _ = strconv.Atoi(value)
	case "bridge", "parent":
		n.Link = value
	case "masquerade":
		on, _ := strconv.ParseBool(value)
		n.Masquerade = on && !n.Internal
	case "mode":
		n.Mode = value
	}
}

// complete chooses the subnets that the definition leaves open: beside all
// others of ours, and beside what the host uses.
func complete(n *lease.Network, d *definition.Network, used []netip.Prefix) error {
	has4, has6 := false, false
	for _, s := range n.Subnets {
		has4, has6 = has4 || s.Prefix.Addr().Is4(), has6 || s.Prefix.Addr().Is6()
		for _, u := range used {
			if n.Driver == lease.Bridge && u.Overlaps(s.Prefix) {
				return &Fault{"networks." + d.Key + ".ipam", fmt.Sprintf("%s overlaps %s, which this host uses already", s.Prefix, u), "choose another range, or leave ipam: out"}
			}
		}
	}
	if n.Driver != lease.Bridge {
		return nil
	}
	if !has4 && !d.NoIPv4 {
		s, err := free4(n.Name, used)
		if err != nil {
			return err
		}
		n.Subnets = append([]lease.Subnet{s}, n.Subnets...)
	}
	if !has6 && d.IPv6 {
		s, err := free6(n.Name, used)
		if err != nil {
			return err
		}
		n.Subnets = append(n.Subnets, s)
	}
	return nil
}

func free4(name string, used []netip.Prefix) (lease.Subnet, error) {
	count := uint64(1) << (poolBits - pool.Bits())
	start := lease.Hash(name) % count
	for i := range count {
		p := netip.PrefixFrom(lease.Nth(pool, (start+i)%count<<(32-poolBits)), poolBits)
		if !overlapsAny(p, used) {
			return lease.Subnet{Prefix: p, Range: p, Gateway: lease.Nth(p, 1)}, nil
		}
	}
	return lease.Subnet{}, &Fault{"networks", "this host uses all of " + pool.String(), "choose a range: ipam: {config: [{subnet: 192.0.2.0/24}]}"}
}

// free6 is a unique local range (RFC 4193) that follows from the names of
// network and machine: two machines that are joined one day have different
// ones.
func free6(name string, used []netip.Prefix) (lease.Subnet, error) {
	machine, _ := os.ReadFile("/etc/machine-id") // without one there is less that differs
	for i := range uint64(16) {
		h := lease.Hash(fmt.Sprintf("%s/%s/%d", bytes.TrimSpace(machine), name, i))
		b := [16]byte{0xfd, byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32), byte(h >> 40), byte(h >> 48)}
		p := netip.PrefixFrom(netip.AddrFrom16(b), 64)
		if !overlapsAny(p, used) {
			return lease.Subnet{Prefix: p, Range: p, Gateway: lease.Nth(p, 1)}, nil
		}
	}
	return lease.Subnet{}, &Fault{"networks", "no IPv6 range is free", "choose one under ipam:"}
}

func overlapsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if u.Overlaps(p) {
			return true
		}
	}
	return false
}

// bridgeName and linkName follow from names, so that what is left of a start
// is found by name. unitc0 is its own.
func bridgeName(network string) string {
	if network == definition.LoneNetwork {
		return network
	}
	return fmt.Sprintf("ub-%012x", lease.Hash(network)>>16)
}

func linkName(container, network string) string {
	return fmt.Sprintf("uv-%012x", lease.Hash(container+"/"+network)>>16)
}
