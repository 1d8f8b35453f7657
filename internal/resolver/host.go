// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unitc/unitc/internal/network/lease"
)

// Domain is where the host finds containers, below a name that is kept for private use
// (ICANN, Board resolution 2024.07.29.06, .internal). Containers see the same names, as
// far as they share networks; none of it is ever asked of other servers.
const Domain = "unitc.internal"

// Host answers the host's own processes: names of containers below Domain, and the names
// of their addresses. It asks nobody else.
type Host struct{ zone *zone }

// NewHost answers from the records below root; "" = unitc's own.
func NewHost(root string) *Host { return &Host{zone: recordsBelow(root)} }

// Answer gives the answer to a message; nil = none.
func (h *Host) Answer(message []byte, _ netip.Addr, tcp bool) []byte {
	q, status, ok := parse(message)
	if !ok {
		return nil
	}
	if status != dnsmessage.RCodeSuccess {
		return q.reply(status, nil, "")
	}
	if q.question.Class == dnsmessage.ClassINET {
		who := h.zone.host()
		if a, ok := address(q.name); ok {
			if name, ours := who.reverse(a); ours {
				return q.pointer(hostName(name))
			}
		} else if name, ok := inDomain(q.name); ok {
			return q.inDomain(who, name, tcp)
		}
	}
	return q.reply(dnsmessage.RCodeRefused, nil, "")
}

// group is for places among connections: the host is one.
func (h *Host) group(netip.Addr) string { return "" }

func hostName(container string) string {
	if container == "" {
		return ""
	}
	return container + "." + Domain
}

// inDomain gives what stands before Domain; "" = the domain itself.
func inDomain(name string) (string, bool) {
	if name == Domain {
		return "", true
	}
	return strings.CutSuffix(name, "."+Domain)
}

// inDomain answers a name below Domain, and says of each other one that there is none.
func (q *query) inDomain(who *asker, name string, tcp bool) []byte {
	addresses, found := who.lookupInDomain(name)
	if !found && name != "" {
		return q.reply(dnsmessage.RCodeNameError, nil, "")
	}
	return q.addresses(addresses, tcp)
}

// lookupInDomain finds CONTAINER, and NAME.NETWORK, where NAME is any that the container
// has in that network.
func (a *asker) lookupInDomain(name string) (addresses []netip.Addr, found bool) {
	add := func(m *members, named string, is func(*lease.Record) bool) {
		for _, i := range m.byName[named] {
			r := &m.records[i]
			if !is(r) || a.over != nil && a.over(r) {
				continue
			}
			found = true
			addresses = append(addresses, r.Addresses()...)
		}
	}
	for _, m := range a.networks {
		add(m, name, func(r *lease.Record) bool { return strings.EqualFold(r.Container, name) })
		if member, ok := strings.CutSuffix(name, "."+strings.ToLower(m.network.Name)); ok {
			add(m, member, func(*lease.Record) bool { return true })
		}
	}
	return addresses, found
}

// host is who asks from the host: it reaches the containers of bridges. Behind macvlan and
// ipvlan they are machines that it cannot reach, and pasta's have the host's addresses.
func (z *zone) host() *asker {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.refresh()
	a := &asker{over: z.over}
	for _, m := range z.networks {
		if m.network.Driver == lease.Bridge {
			a.networks = append(a.networks, m)
		}
	}
	return a
}
