// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
)

// A port with x-activation has a socket unit that listens on the host. While
// the container answers, a rule leads new connections past the socket, with
// their own source address; they come to it, and wait there, whenever the rule
// is not there. A connection keeps its way once it has begun: the chains of NAT
// see its first packet only.

// Open leads the connections of a container's port past its socket.
func Open(container string, target uint16) error {
	return changeActivated(container, func(p lease.Port) bool { return p.Target == target }, true)
}

// Close has new connections come to the sockets again.
func Close(container string) error {
	return changeActivated(container, anyPort, false)
}

func changeActivated(container string, asked func(lease.Port) bool, add bool) error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	records, err := locked.RecordsOf(container)
	if err != nil {
		return err
	}
	conn := transaction()
	for i := range records {
		these := func(p lease.Port) bool { return throughUnit(p) && asked(p) }
		// What is deleted is added before: the batch is one transaction, and it may
		// not be there.
		if err := changePorts(&records[i], these, conn.SetAddElements); err != nil {
			return err
		}
		if add {
			continue
		}
		if err := changePorts(&records[i], these, conn.SetDeleteElements); err != nil {
			return err
		}
	}
	return ignoreMissing(flush(conn))
}

// FlowTable has the connections that the kernel leads to containers.
type FlowTable map[netip.AddrPort]bool

// Flows reads them. Those that have ended are there for two minutes more, if
// nobody has set nf_conntrack_tcp_timeout_time_wait.
func Flows() (FlowTable, error) {
	table := FlowTable{}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("listing connections: %w", err)
		}
		for _, f := range list {
			if f.Forward.Protocol == unix.IPPROTO_TCP {
				table[netip.AddrPortFrom(address(f.Reverse.SrcIP), f.Reverse.SrcPort)] = true
			}
		}
	}
	return table, nil
}

// To tells whether there is one to a container's port, by any of its addresses.
func (t FlowTable) To(own []netip.Addr, target uint16) bool {
	return slices.ContainsFunc(own, func(a netip.Addr) bool { return t[netip.AddrPortFrom(a, target)] })
}

// Activated are the ports of a container that have socket units, by the
// container's own numbers, and where the container is: an address of each of its
// families.
func Activated(container string) (targets map[uint16][]netip.Addr, err error) {
	records, err := lease.Store{}.RecordsOf(container)
	if err != nil {
		return nil, err
	}
	targets = map[uint16][]netip.Addr{}
	for _, r := range records {
		for _, p := range r.Ports {
			for _, a := range r.Addresses() {
				if p.Activated && !slices.Contains(targets[p.Target], a) {
					targets[p.Target] = append(targets[p.Target], a)
				}
			}
		}
	}
	return targets, nil
}
