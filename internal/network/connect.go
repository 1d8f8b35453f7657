// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/usernet"
)

// Connect gives a network namespace its interfaces, and publishes the ports. The
// namespace's own processes may be at their mounts meanwhile. Networks that are
// missing are made first, unless that has been done.
func (c *Claim) Connect(ns *os.File) error {
	if c.IsPasta() {
		return nil // its process does all that
	}
	if c.usersBridges() {
		c.request.Before("make-link")
		if err := c.askLinks(ns); err != nil {
			return err
		}
		c.request.Before("configure-link")
		return within(ns, c.configure)
	}
	if !c.made {
		if err := c.MakeNetworks(); err != nil {
			return err
		}
	}
	for _, p := range c.places {
		c.request.Before("make-link")
		if err := p.makeLink(ns); err != nil {
			return fmt.Errorf("network %s: %w", p.network.Name, err)
		}
	}
	c.request.Before("configure-link")
	if err := within(ns, c.configure); err != nil {
		return err
	}
	c.request.Before("publish-ports")
	return c.publish()
}

// MakeNetworks makes those that nobody has made since Take. It needs no namespace
// of the container's.
func (c *Claim) MakeNetworks() error {
	c.made = true
	if c.IsPasta() || c.usersBridges() {
		return nil
	}
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	for i := range c.places {
		p := &c.places[i]
		if p.network, err = locked.Network(p.network.Name); err == nil {
			err = makeNetwork(locked, p.network, c.request.Before)
		}
		if err != nil {
			return fmt.Errorf("network %s: %w", p.asked.Definition.Name, err)
		}
	}
	return nil
}

// makeLink makes the interface in the container's namespace, under its final
// name at once.
func (p *place) makeLink(ns *os.File) error {
	mac, err := net.ParseMAC(p.record.MAC)
	if err != nil && p.record.MAC != "" {
		return err
	}
	parent, err := netlink.LinkByName(p.network.Link)
	if errors.As(err, new(netlink.LinkNotFoundError)) && p.network.Driver != lease.Bridge {
		return noParent(p.asked.Definition, p.network.Link, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.network.Link, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.MTU = cmp.Or(p.options.mtu, p.network.MTU)
	var link netlink.Link
	switch p.network.Driver {
	case lease.Macvlan:
		attrs.Name, attrs.ParentIndex, attrs.HardwareAddr, attrs.Namespace = p.record.Interface, parent.Attrs().Index, mac, netlink.NsFd(ns.Fd())
		mode, err := macvlanMode(p.network.Mode)
		if err != nil {
			return err
		}
		link = &netlink.Macvlan{LinkAttrs: attrs, Mode: mode}
	case lease.Ipvlan:
		attrs.Name, attrs.ParentIndex, attrs.Namespace = p.record.Interface, parent.Attrs().Index, netlink.NsFd(ns.Fd())
		mode, err := ipvlanMode(p.network.Mode)
		if err != nil {
			return err
		}
		link = &netlink.IPVlan{LinkAttrs: attrs, Mode: mode}
	default:
		attrs.Name, attrs.MasterIndex, attrs.Alias = p.record.Link, parent.Attrs().Index, ownAlias+p.record.Container
		if attrs.MTU == 0 {
			attrs.MTU = parent.Attrs().MTU
		}
		// Unless it is told how many queues, the kernel makes one for each processor and
		// takes all but one back, for which it waits a grace period at each end
		// (veth_init_queues).
		attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
		link = &netlink.Veth{LinkAttrs: attrs, PeerName: p.record.Interface, PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(ns.Fd())}
	}
	err = netlink.LinkAdd(link)
	if errors.Is(err, unix.EEXIST) && p.record.Link != "" {
		// The one of an earlier start, which the kernel is about to remove.
		if old, lookErr := netlink.LinkByName(p.record.Link); lookErr == nil {
			_ = netlink.LinkDel(old)
		}
		err = netlink.LinkAdd(link)
	}
	if err != nil {
		return fmt.Errorf("adding a %s for %s: %w", link.Type(), p.record.Interface, err)
	}
	if p.network.Driver != lease.Bridge {
		return nil
	}
	// The bridge has the addresses; its port needs none.
	if err := write("/proc/sys/net/ipv6/conf/"+p.record.Link+"/disable_ipv6", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(p.record.Ports) > 0 && read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1" {
		// With br_netfilter a packet to the container's own published port is led
		// back inside the bridge, to the port where it came from.
		if err := write("/sys/class/net/"+p.record.Link+"/brport/hairpin_mode", "1"); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", p.record.Link, err)
	}
	return nil
}

func macvlanMode(mode string) (netlink.MacvlanMode, error) {
	switch mode {
	case "", "bridge":
		return netlink.MACVLAN_MODE_BRIDGE, nil
	case "private":
		return netlink.MACVLAN_MODE_PRIVATE, nil
	case "vepa":
		return netlink.MACVLAN_MODE_VEPA, nil
	case "passthru":
		return netlink.MACVLAN_MODE_PASSTHRU, nil
	}
	return 0, &Fault{"networks", "macvlan has no mode " + mode, "write bridge, private, vepa or passthru"}
}

func ipvlanMode(mode string) (netlink.IPVlanMode, error) {
	switch mode {
	case "", "l2":
		return netlink.IPVLAN_MODE_L2, nil
	case "l3":
		return netlink.IPVLAN_MODE_L3, nil
	case "l3s":
		return netlink.IPVLAN_MODE_L3S, nil
	}
	return 0, &Fault{"networks", "ipvlan has no mode " + mode, "write l2, l3 or l3s"}
}

// within runs do on a thread in another network namespace.
func within(ns *os.File, do func() error) error {
	if realm.Own() != nil {
		return usernet.Within(ns, do)
	}
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening this thread's network namespace: %w", err)
	}
	defer own.Close()
	if err := netns.Set(netns.NsHandle(ns.Fd())); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("setns to the container's network: %w", err)
	}
	err = do()
	if back := netns.Set(own); back != nil {
		// This thread is not to be used again: locked, it ends with its goroutine.
		return errors.Join(err, fmt.Errorf("setns back to the host's network: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// configure runs in the container's namespace.
func (c *Claim) configure() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in the container's network: %w", err)
	}
	defer h.Close()
	// All of them first: a sysctl may be of any interface.
	for _, p := range c.places {
		if p.network.Driver == lease.Pasta {
			continue // it comes behind
		}
		if err := p.ownSysctls(); err != nil {
			return fmt.Errorf("network %s: %w", p.network.Name, err)
		}
	}
	if !c.HasPasta() {
		if err := c.askedSysctls(); err != nil {
			return err
		}
	}
	for _, p := range c.places {
		if p.network.Driver == lease.Pasta {
			continue
		}
		if err := p.configure(h); err != nil {
			return fmt.Errorf("network %s: %w", p.network.Name, err)
		}
	}
	if realm.Own() != nil {
		return nil // the way out is pasta's
	}
	for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		if err := c.routes(h, is); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) configure(h *netlink.Handle) error {
	name := p.record.Interface
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	addresses := p.record.Addresses()
	for _, text := range p.asked.LinkLocal {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		addresses = append(addresses, a)
	}
	for _, a := range addresses {
		if err := addHandleAddress(h, link, netip.PrefixFrom(a, p.bits(a))); err != nil {
			return err
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	if p.network.Driver != lease.Bridge {
		return nil
	}
	// Names are answered on the bridge itself, way out or not.
	for _, resolver := range resolverAddresses(p.network) {
		if resolver.Addr().Is4() && !p.record.IPv4.IsValid() {
			continue
		}
		if err := addRoute(h, link, resolver, netip.Addr{}); err != nil {
			return err
		}
	}
	return nil
}

// bits is the length of the network's prefix around an address.
func (p *place) bits(a netip.Addr) int {
	for _, s := range p.network.Subnets {
		if s.Prefix.Contains(a) {
			return s.Prefix.Bits()
		}
	}
	if a.Is6() {
		return 64 // link-local (RFC 4291, 2.5.6)
	}
	return 16 // (RFC 3927)
}

func addHandleAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := h.AddrAdd(link, a); err != nil {
		return fmt.Errorf("address %s of %s: %w", p, link.Attrs().Name, err)
	}
	return nil
}

// routes adds the default route of one family: through the network with the
// highest gw_priority that leads out, the first of equals.
func (c *Claim) routes(h *netlink.Handle, is func(netip.Addr) bool) error {
	var best *place
	var gateway netip.Addr
	for i := range c.places {
		p := &c.places[i]
		if p.network.Internal || best != nil && p.asked.GWPriority <= best.asked.GWPriority {
			continue
		}
		for _, s := range p.network.Subnets {
			if is(s.Gateway) && slices.ContainsFunc(p.record.Addresses(), s.Prefix.Contains) { // the others are not on its link
				best, gateway = p, s.Gateway
			}
		}
	}
	if best == nil {
		return nil
	}
	link, err := h.LinkByName(best.record.Interface)
	if err != nil {
		return fmt.Errorf("%s: %w", best.record.Interface, err)
	}
	return addRoute(h, link, netip.PrefixFrom(zero(gateway), 0), gateway)
}

func zero(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func addRoute(h *netlink.Handle, link netlink.Link, to netip.Prefix, gateway netip.Addr) error {
	r := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())},
	}
	if gateway.IsValid() {
		r.Gw = gateway.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	// Of two networks each has the way to the resolver; the first one stays.
	if err := h.RouteAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("route to %s: %w", to, err)
	}
	return nil
}
