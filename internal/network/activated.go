// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

// A port with x-activation has a socket unit that listens on the host. While
// the container answers, a rule leads new connections past the socket, with
// their own source address; they come to it, and wait there, whenever the rule
// is not there. A connection keeps its way once it has begun: the chains of NAT
// see its first packet only.

// Open leads the connections of a container's port past its socket.
func Open(container string, target uint16) error {
	return changeActivated(func(p lease.Port) bool { return p.Target == target }, true, container)
}

// Close has new connections come to the sockets again, of all the containers in one
// change of the rules. Those of users have no rules.
func Close(containers ...string) error {
	if realm.Own() != nil {
		return nil
	}
	return changeActivated(anyPort, false, containers...)
}

func changeActivated(asked func(lease.Port) bool, add bool, containers ...string) error {
	locked, err := lockIfAny()
	if locked == nil || err != nil {
		return err
	}
	defer locked.Unlock()
	conn := transaction()
	for _, container := range containers {
		records, err := locked.RecordsOf(container)
		if err != nil {
			return err
		}
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
	}
	return ignoreMissing(flush(conn))
}

// FlowTable has the connections that the kernel leads to containers.
type FlowTable map[netip.AddrPort]bool

// Flows reads them. Those that have ended are there for two minutes more, if
// nobody has set nf_conntrack_tcp_timeout_time_wait. The kernel's list may have some
// hundred thousand, whoever makes them: of each message only who answers is kept.
func Flows() (FlowTable, error) {
	table := FlowTable{}
	if realm.Own() != nil {
		return table, nil // what comes to a user's container comes through processes
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(netlink.ConntrackTable<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
		err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(message []byte) bool {
			if who, ok := answering(message); ok {
				table[who] = true
			}
			return true
		})
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("listing connections: %w%s", err, noListing(err))
		}
	}
	return table, nil
}

// noListing is the cure where the kernel has nothing that lists them.
func noListing(err error) string {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return "; x-idle-timeout needs the kernel's module nf_conntrack_netlink, without which no container is stopped for it"
	}
	return ""
}

// answering is where the answers of a TCP connection come from, or of an exchange of
// datagrams: HTTP/3 speaks by these with the port of the same number.
func answering(message []byte) (who netip.AddrPort, ok bool) {
	if len(message) < nl.SizeofNfgenmsg {
		return who, false
	}
	reply := attribute(message[nl.SizeofNfgenmsg:], nl.CTA_TUPLE_REPLY)
	ip, protocol := attribute(reply, nl.CTA_TUPLE_IP), attribute(reply, nl.CTA_TUPLE_PROTO)
	source := attribute(ip, nl.CTA_IP_V4_SRC)
	if source == nil {
		source = attribute(ip, nl.CTA_IP_V6_SRC)
	}
	number, port := attribute(protocol, nl.CTA_PROTO_NUM), attribute(protocol, nl.CTA_PROTO_SRC_PORT)
	a, valid := netip.AddrFromSlice(source)
	if !valid || len(number) != 1 || number[0] != unix.IPPROTO_TCP && number[0] != unix.IPPROTO_UDP || len(port) != 2 {
		return who, false
	}
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port)), true
}

// attribute finds one in a list of them (netlink(7), struct nlattr); nil = it is not
// there.
func attribute(list []byte, kind uint16) []byte {
	for len(list) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(list))
		if size < unix.SizeofNlAttr || size > len(list) {
			return nil
		}
		if binary.NativeEndian.Uint16(list[2:])&nl.NLA_TYPE_MASK == kind {
			return list[unix.SizeofNlAttr:size]
		}
		list = list[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(list)):]
	}
	return nil
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
			if p.Activated && targets[p.Target] == nil {
				targets[p.Target] = []netip.Addr{} // pasta's has none of its own
			}
			for _, a := range r.Addresses() {
				if p.Activated && !slices.Contains(targets[p.Target], a) {
					targets[p.Target] = append(targets[p.Target], a)
				}
			}
		}
	}
	return targets, nil
}
