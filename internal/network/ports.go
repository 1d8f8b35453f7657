// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// protocols that have ports, by their numbers.
var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// The range from which a port is taken where the definition leaves it open:
// IANA's for dynamic ports (RFC 6335), above what Linux uses for its own
// connections by default but for the last part.
const firstFree, lastFree = 49152, 65535

// holding has who holds which ports of the host, by their numbers: a container
// may have a thousand.
type holding map[uint16][]held

type held struct {
	port   lease.Port
	holder string
}

func (h holding) add(p lease.Port, holder string) { h[p.Port] = append(h[p.Port], held{p, holder}) }

// of names the holder of a port; "" = nobody.
func (h holding) of(p lease.Port) string {
	for _, other := range h[p.Port] {
		if other.port.Overlaps(p) {
			return other.holder
		}
	}
	return ""
}

// reservePorts writes the ports into the record of the network that they lead
// through.
func (c *Claim) reservePorts(locked *lease.Locked) error {
	list, err := locked.PortHolders()
	if err != nil {
		return err
	}
	holders := holding{}
	for p, holder := range list {
		holders.add(p, holder)
	}
	places, got := make([]*place, len(c.request.Ports)), make([][]lease.Port, len(c.request.Ports))
	// What is written down comes first: a range may have that port, too.
	for _, open := range []bool{false, true} {
		for i, asked := range c.request.Ports {
			if open != (asked.Published == 0 || asked.PublishedEnd != 0) {
				continue
			}
			key := fmt.Sprintf("ports[%d]", asked.Item)
			if places[i], err = c.way(key, asked); err != nil {
				return err
			}
			if got[i], err = c.reserve(key, asked, places[i].record, holders); err != nil {
				return err
			}
			for _, q := range got[i] {
				holders.add(q, c.request.Container)
			}
		}
	}
	for i, p := range places {
		p.record.Ports = append(p.record.Ports, got[i]...)
	}
	return nil
}

// way is the place through which a port is reached: the first that leads out.
func (c *Claim) way(key string, asked definition.Port) (*place, error) {
	for i := range c.places {
		p := &c.places[i]
		if p.network.Driver == lease.Pasta || p.network.Driver == lease.Bridge && !p.network.Internal && !c.usersBridges() {
			return p, nil
		}
	}
	return nil, &Fault{key, "none of the container's networks leads out", "join a bridge that is not internal, or remove the port"}
}

// reserve finds the ports of the host, one for each family of addresses.
func (c *Claim) reserve(key string, asked definition.Port, r *lease.Record, holders holding) ([]lease.Port, error) {
	if c.HasPasta() && asked.Protocol == "sctp" {
		return nil, &Fault{key, "pasta knows tcp and udp alone", "join a bridge, or remove the port"}
	}
	hosts, err := hostAddresses(key, asked, r, c.HasPasta())
	if err != nil {
		return nil, err
	}
	first, last := asked.Published, asked.PublishedEnd
	switch {
	case first == 0:
		first, last = firstFree, lastFree
	case last == 0:
		last = first
	}
	var taken error
	span := last - first + 1
	start := int(lease.Hash(fmt.Sprintf("%s/%s/%d", c.request.Container, asked.Protocol, asked.Target)) % uint64(span))
	if asked.PublishedEnd != 0 {
		start = 0 // of a range that was written down, the lowest
	}
	for i := range span {
		var got []lease.Port
		for _, host := range hosts {
			got = append(got, lease.Port{Protocol: asked.Protocol, Host: host, Port: uint16(first + (start+i)%span), Target: uint16(asked.Target)})
		}
		err := c.free(key, asked, got, holders)
		if err == nil {
			return got, nil
		}
		var fault *Fault
		if !errors.As(err, &fault) {
			return nil, err
		}
		taken = err
	}
	return nil, taken
}

// hostAddresses are the host's addresses that a port is published on. One
// without an address is published on all of the families that the container has.
func hostAddresses(key string, asked definition.Port, r *lease.Record, pasta bool) ([]netip.Addr, error) {
	if asked.HostIP == "" {
		if pasta {
			return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, nil
		}
		var hosts []netip.Addr
		if r.IPv4.IsValid() {
			hosts = append(hosts, netip.IPv4Unspecified())
		}
		if r.IPv6.IsValid() {
			hosts = append(hosts, netip.IPv6Unspecified())
		}
		return hosts, nil
	}
	host, err := netip.ParseAddr(asked.HostIP)
	if err != nil {
		return nil, &Fault{key, err.Error(), "write an IP address of this host"}
	}
	if host.Is6() && host.IsLinkLocalUnicast() {
		return nil, &Fault{key, asked.HostIP + " is another machine's on every other link", "publish the port on another address, or on all"}
	}
	if asked.Activation || pasta {
		return []netip.Addr{host.Unmap()}, nil // what forwards takes the address there is
	}
	if host = host.Unmap(); host.Is4() && !r.IPv4.IsValid() || host.Is6() && !r.IPv6.IsValid() {
		cure := "write enable_ipv6: true for its network, or another address"
		if host.Is4() {
			cure = "remove enable_ipv4: false from its network, or write an address of IPv6"
		}
		return nil, &Fault{key, fmt.Sprintf("the container has no address of %s's family", host), cure}
	}
	if host == netip.IPv6Loopback() {
		return nil, &Fault{key, "the kernel leads nothing from ::1 to a container", "publish the port on 127.0.0.1, or write x-activation: true: a process forwards then"}
	}
	return []netip.Addr{host}, nil
}

// free asks unitc's own records and the host's sockets whether ports are free.
func (c *Claim) free(key string, asked definition.Port, wanted []lease.Port, holders holding) error {
	for i, w := range wanted {
		switch holder := holders.of(w); holder {
		case "":
		case c.request.Container:
			return &Fault{key, fmt.Sprintf("the host's port %s is published twice", w), "keep one of the two"}
		default:
			return &Fault{key, fmt.Sprintf("the host's port %s leads to %s.service already", w, holder), "publish another port, or stop " + holder}
		}
		busy, err := portBusy(w)
		if errors.Is(err, unix.EACCES) && realm.Own() != nil {
			return &Fault{key, fmt.Sprintf("the host's port %s is root's to open", w), "publish a port from 1024 on, or have root lower net.ipv4.ip_unprivileged_port_start (sysctl.d(5))"}
		}
		if err != nil {
			return fmt.Errorf("%s: looking whether the host's port %s is free: %w", key, w, err)
		}
		if busy && asked.Activation && c.request.SocketUnit != nil && c.request.SocketUnit(w) == definition.PortUnit(c.request.Container, asked.Target)+".socket" {
			wanted[i].Activated = true
			continue
		}
		if busy {
			return &Fault{key, fmt.Sprintf("the host's port %s is in use by %s", w, holderOf(w, c.request.SocketUnit)), "publish another port, or stop what uses it"}
		}
	}
	return nil
}

// changePorts adds those of a record's ports to the maps that are asked for, or
// deletes them there.
func changePorts(r *lease.Record, asked func(lease.Port) bool, change func(*nftables.Set, []nftables.SetElement) error) error {
	byMap := map[string][]nftables.SetElement{}
	for _, p := range r.Ports {
		to, ok := r.To(p)
		if !ok || !asked(p) {
			continue
		}
		var key []byte
		if !p.Host.IsUnspecified() {
			key = p.Host.AsSlice()
		}
		key = append(key, protocols[p.Protocol], 0, 0, 0)
		key = append(binary.BigEndian.AppendUint16(key, p.Port), 0, 0)
		value := append(binary.BigEndian.AppendUint16(to.AsSlice(), p.Target), 0, 0)
		name := ports(p.Host.Is6(), p.Host.IsUnspecified()).Name
		byMap[name] = append(byMap[name], nftables.SetElement{Key: key, Val: value})
	}
	for _, v6 := range []bool{false, true} {
		for _, anyHost := range []bool{false, true} {
			m := ports(v6, anyHost)
			// A message's list of elements ends at 64 KiB.
			for chunk := range slices.Chunk(byMap[m.Name], 256) {
				if err := change(m, chunk); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func anyPort(lease.Port) bool       { return true }
func direct(p lease.Port) bool      { return !p.Activated }
func throughUnit(p lease.Port) bool { return p.Activated }

// changeItself is the part of a container with ports that is not a port's.
func changeItself(r *lease.Record, change func(*nftables.Set, []nftables.SetElement) error) error {
	if len(r.Ports) == 0 {
		return nil
	}
	for _, a := range r.Addresses() {
		if err := change(itself(a.Is6()), []nftables.SetElement{{Key: slices.Concat(a.AsSlice(), a.AsSlice())}}); err != nil {
			return err
		}
	}
	return nil
}

// publish opens a container's ports, all at once or none.
func (c *Claim) publish() error {
	conn := transaction()
	for _, p := range c.places {
		if err := changeItself(p.record, conn.SetAddElements); err != nil {
			return err
		}
		if err := changePorts(p.record, direct, conn.SetAddElements); err != nil {
			return err
		}
	}
	err := flush(conn)
	if errors.Is(err, unix.EEXIST) {
		// Of somebody whose record was removed: no port is given out twice.
		err = rebuildRecorded()
	}
	if err != nil {
		return err
	}
	for _, p := range c.places {
		forgetFlows(*p.record)
	}
	return nil
}

func rebuildRecorded() error {
	locked, err := lease.Store{}.Lock()
	if err != nil {
		return err
	}
	defer locked.Unlock()
	networks, records, err := madeBridges(locked.Store)
	if err != nil {
		return err
	}
	return rebuild(networks, records)
}

// withdrawPorts closes them again, whether they are open or not.
func withdrawPorts(r *lease.Record) error {
	if len(r.Ports) == 0 {
		return nil
	}
	conn := transaction()
	for _, change := range []func(*nftables.Set, []nftables.SetElement) error{conn.SetAddElements, conn.SetDeleteElements} {
		if err := changeItself(r, change); err != nil {
			return err
		}
		if err := changePorts(r, anyPort, change); err != nil {
			return err
		}
	}
	err := ignoreMissing(flush(conn))
	if errors.Is(err, unix.EEXIST) {
		return nil // they were never opened: what is there is another's, of whom there is no record
	}
	return err
}
