// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"

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
	n := &lease.Network{Name: d.Name, Driver: d.Driver, Internal: d.Internal, Masquerade: !d.Internal}
	switch n.Driver {
	case "", lease.Bridge:
		n.Driver, n.Link = lease.Bridge, bridgeName(d.Name)
	case lease.Macvlan, lease.Ipvlan:
		n.Masquerade = false
	case lease.Pasta:
		if d.Name == lease.PastaName {
			return n, nil
		}
		fallthrough
	default:
		return nil, &Fault{"networks." + d.Key + ".driver", "unitc has no driver " + d.Driver, "write bridge, macvlan or ipvlan"}
	}
	for _, o := range d.Options {
		if err := option(n, o.Key, o.Value); err != nil {
			return nil, &Fault{"networks." + d.Key + ".driver_opts", err.Error(), "correct it, or remove it"}
		}
	}
	if n.Link == "" {
		return nil, &Fault{"networks." + d.Key, "the driver " + n.Driver + " needs an interface of the host", "write driver_opts: {parent: eth0}"}
	}
	for i, s := range d.Subnets {
		subnet, err := settleSubnet(s)
		if err != nil {
			return nil, &Fault{fmt.Sprintf("networks.%s.ipam.config[%d]", d.Key, i), err.Error(), "correct the address range"}
		}
		if subnet.Prefix.IsValid() {
			n.Subnets = append(n.Subnets, subnet)
		}
	}
	return n, nil
}

// option reads a driver option by unitc's name, or by the one that Docker has
// for it.
func option(n *lease.Network, key, value string) (err error) {
	switch key {
	case "mtu", "com.docker.network.driver.mtu":
		if n.MTU, err = strconv.Atoi(value); err != nil || n.MTU < 68 || n.MTU > 65535 {
			return fmt.Errorf("mtu %q is no number from 68 to 65535", value)
		}
	case "bridge", "com.docker.network.bridge.name", "parent":
		if value == "" || len(value) > maxLinkName {
			return fmt.Errorf("%q is no name of an interface", value)
		}
		n.Link = value
	case "masquerade", "com.docker.network.bridge.enable_ip_masquerade":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s %q is neither true nor false", key, value)
		}
		n.Masquerade = on && !n.Internal
	case "mode", "macvlan_mode", "ipvlan_mode":
		n.Mode = value
	default:
		return fmt.Errorf("unitc has no option %q: it has mtu, bridge, masquerade, parent and mode", key)
	}
	return nil
}

func settleSubnet(s definition.Subnet) (lease.Subnet, error) {
	var out lease.Subnet
	if s.Subnet == "" {
		return out, nil
	}
	prefix, err := netip.ParsePrefix(s.Subnet)
	if err != nil {
		return out, err
	}
	out.Prefix = prefix.Masked()
	out.Range, out.Gateway = out.Prefix, lease.Nth(out.Prefix, 1)
	if out.Prefix.Bits() > out.Prefix.Addr().BitLen()-2 {
		return out, fmt.Errorf("%s has no room for a gateway and a container", out.Prefix)
	}
	if s.Range != "" {
		if out.Range, err = netip.ParsePrefix(s.Range); err != nil {
			return out, err
		}
		if out.Range = out.Range.Masked(); out.Range.Bits() < out.Prefix.Bits() || !out.Prefix.Overlaps(out.Range) {
			return out, fmt.Errorf("the range %s is not in %s", out.Range, out.Prefix)
		}
	}
	if s.Gateway != "" {
		if out.Gateway, err = netip.ParseAddr(s.Gateway); err != nil {
			return out, err
		}
		if !out.Prefix.Contains(out.Gateway) {
			return out, fmt.Errorf("the gateway %s is not in %s", out.Gateway, out.Prefix)
		}
	}
	for _, aux := range s.AuxAddresses {
		a, err := netip.ParseAddr(aux.Value)
		if err != nil {
			return out, err
		}
		out.Taken = append(out.Taken, a)
	}
	return out, nil
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
		if len(n.Subnets) == 0 {
			return &Fault{"networks." + d.Key, "the driver " + n.Driver + " gives out addresses of a network that is there", "write ipam: {config: [{subnet: 192.0.2.0/24}]}"}
		}
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

// maxLinkName is IFNAMSIZ without the NUL, in bytes.
const maxLinkName = 15

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
