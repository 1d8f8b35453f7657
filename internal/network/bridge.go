// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

// ensure gives the network, made if it is missing or incomplete.
func ensure(locked *lease.Locked, d *definition.Network, before func(string)) (*lease.Network, error) {
	n, err := arrange(locked, d)
	if err != nil {
		return nil, err
	}
	return n, makeNetwork(locked, n, before)
}

// arrange gives the network as it is or will be, written down.
func arrange(locked *lease.Locked, d *definition.Network) (*lease.Network, error) {
	n, err := locked.Network(d.Name)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if n, err = design(locked, d); err != nil {
		return nil, err
	}
	if _, v6 := families(n); v6 && n.Driver != lease.Pasta {
		if _, err := os.Stat(forward6); errors.Is(err, fs.ErrNotExist) {
			return nil, &Fault{"networks." + d.Key, "it has IPv6, and the kernel has none", "remove enable_ipv6: and ranges of IPv6, or boot without ipv6.disable=1"}
		}
	}
	if n.Driver == lease.Macvlan || n.Driver == lease.Ipvlan {
		if _, err := netlink.LinkByName(n.Link); err != nil {
			return nil, noParent(d, n.Link, err)
		}
	}
	return n, locked.PutNetwork(n)
}

func noParent(d *definition.Network, link string, err error) error {
	return &Fault{"networks." + d.Key + ".driver_opts.parent", fmt.Sprintf("%s: %v", link, err), "name an interface of this host"}
}

// makeNetwork makes what the kernel has of a network, if it is missing or
// incomplete.
func makeNetwork(locked *lease.Locked, n *lease.Network, before func(string)) error {
	if n.Ready && isWhole(n) {
		return nil
	}
	if n.Ready {
		n.Ready = false
		if err := locked.PutNetwork(n); err != nil {
			return err
		}
	}
	before("make-network")
	if n.Driver == lease.Bridge {
		if err := makeBridge(n); err != nil {
			return err
		}
		// Who was on a bridge that somebody has removed is on none since.
		records, err := locked.Records(n.Name)
		if err != nil {
			return err
		}
		for i := range records {
			if err := attach(&records[i], []lease.Network{*n}); err != nil {
				return err
			}
		}
		before("make-rules")
		if realm.Own() == nil {
			err = makeRules(locked, n)
		}
		if err != nil {
			return err
		}
	}
	n.Ready = true
	return locked.PutNetwork(n)
}

// design is the network that will be made of a definition.
func design(locked *lease.Locked, d *definition.Network) (*lease.Network, error) {
	n, err := settle(d)
	if err != nil || n.Driver == lease.Pasta {
		return n, err
	}
	if n.Driver == lease.Bridge && n.Link != bridgeName(n.Name) && realm.Own() == nil {
		others, err := locked.Networks()
		if err != nil {
			return nil, err
		}
		for _, other := range others {
			if other.Link == n.Link && other.Driver == lease.Bridge {
				return nil, &Fault{"networks." + d.Key + ".driver_opts", n.Link + " is the bridge of the network " + other.Name, "name another bridge, or join that network"}
			}
		}
		// A bridge that somebody else has made stays when the network goes.
		if link, err := netlink.LinkByName(n.Link); err == nil {
			if link.Type() != "bridge" {
				return nil, &Fault{"networks." + d.Key + ".driver_opts", n.Link + " is a " + link.Type() + ", not a bridge", "name a bridge, or leave the option out"}
			}
			n.Foreign = true
		}
	}
	used, err := usedRanges(locked)
	if err != nil {
		return nil, err
	}
	return n, complete(n, d, used)
}

// broad routes lead everything somewhere: they are no ranges in use.
const broad = 8

// usedRanges are what other networks of ours have, and what the host has
// addresses in or routes to.
func usedRanges(locked *lease.Locked) ([]netip.Prefix, error) {
	var used []netip.Prefix
	networks, err := locked.Networks()
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		for _, s := range n.Subnets {
			used = append(used, s.Prefix)
		}
	}
	add := func(n *net.IPNet, most int) {
		if n == nil {
			return
		}
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Bits() > most {
			used = append(used, p.Masked())
		}
	}
	// Of all tables: those of a VPN's are often in one of its own (ip-rule(8)).
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Table != unix.RT_TABLE_LOCAL { // the host's own addresses, and those of multicast
			add(r.Dst, broad)
		}
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addresses {
		if !lease.IsResolver(address(a.IP)) {
			add(a.IPNet, 0)
		}
	}
	return used, nil
}

// isWhole: somebody may have removed the bridge, or flushed all rules.
func isWhole(n *lease.Network) bool {
	if n.Driver != lease.Bridge {
		return true
	}
	link, err := netlink.LinkByName(n.Link)
	return err == nil && link.Attrs().Flags&net.FlagUp != 0 && (realm.Own() != nil || hasRules())
}

// makeBridge makes what is missing of a network's bridge.
func makeBridge(n *lease.Network) error {
	link, err := netlink.LinkByName(n.Link)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		link, err = addBridge(n)
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", n.Link, err)
	}
	if err := bridgeSysctls(n); err != nil {
		return err
	}
	for _, s := range n.Subnets {
		if err := addAddress(link, netip.PrefixFrom(s.Gateway, s.Prefix.Bits())); err != nil {
			return err
		}
	}
	for _, p := range resolverAddresses(n) {
		if err := addAddress(link, p); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", n.Link, err)
	}
	return nil
}

// resolverAddresses are those where names are answered on a network.
func resolverAddresses(n *lease.Network) []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(lease.Resolver, 32)}
	if _, v6 := families(n); v6 {
		list = append(list, netip.PrefixFrom(lease.Resolver6, 128))
	}
	return list
}

func addBridge(n *lease.Network) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Alias = n.Link, n.MTU, ownAlias+"network "+n.Name
	// A bridge without an address of its own takes the lowest of its ports', and
	// changes it whenever one comes or goes.
	mac, err := net.ParseMAC(macOf("bridge " + n.Name))
	if err != nil {
		return nil, err
	}
	attrs.HardwareAddr = mac
	// Without a querier on the network, snooping loses groups after some minutes.
	off := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}
	if err := netlink.LinkAdd(bridge); err != nil {
		return nil, err
	}
	return netlink.LinkByName(n.Link)
}

// addAddress adds an address that may be there. The network has no duplicates
// to be detected: unitc gives the addresses out (IFA_F_NODAD).
func addAddress(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(link, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("address %s of %s: %w", p, link.Attrs().Name, err)
	}
	return nil
}

// remove takes a network away in which nobody is, with its rules or without.
func remove(locked *lease.Locked, n *lease.Network, rules bool) error {
	if n.Driver == lease.Bridge {
		if rules {
			if err := dropRules(n); err != nil {
				return err
			}
		}
		if n.Foreign {
			return errors.Join(dropAddresses(n), locked.DropNetwork(n.Name))
		}
		if err := deleteLink(n.Link); err != nil {
			return err
		}
	}
	return locked.DropNetwork(n.Name)
}

// dropAddresses leaves a bridge of somebody else's as it was.
func dropAddresses(n *lease.Network) error {
	link, err := netlink.LinkByName(n.Link)
	if err != nil {
		return nil // it is gone, with its addresses
	}
	list := resolverAddresses(n)
	for _, s := range n.Subnets {
		list = append(list, netip.PrefixFrom(s.Gateway, s.Prefix.Bits()))
	}
	for _, p := range list {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if err := netlink.AddrDel(link, a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("address %s of %s: %w", p, n.Link, err)
		}
	}
	return nil
}

// deleteLink removes a link that may be gone: a veth goes with the namespace
// of its other end.
func deleteLink(name string) error {
	if !hasLinks() {
		return nil
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil && isDying(link) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return nil
}

// isDying tells whether the namespace of a veth's other end is ending, and the
// veth with it: such a namespace has no id any more (peernet2id_alloc of the
// kernel). To delete it would be to wait for that end.
func isDying(link netlink.Link) bool {
	id := link.Attrs().NetNsID // of 32 bits; -1 in all bits where the kernel gave none
	return link.Type() == "veth" && id != -1 && int32(id) == -1
}
