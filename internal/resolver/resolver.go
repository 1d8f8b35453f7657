// SPDX-License-Identifier: Apache-2.0

// Package resolver answers the containers of a network: the names and
// addresses of their neighbours from unitc's records, all others by asking the
// host's name servers, or those of the definition. systemd holds its sockets,
// so that it can end when nobody asks and be replaced without losing a
// question. It changes nothing on the host.
package resolver

import (
	"math/rand/v2"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/protection"
)

// Resolver answers questions.
type Resolver struct {
	zone *zone
	host *hostServers
	// waiting are the questions that other servers have been asked. They wait
	// long where no server answers, and may not keep anybody's own names waiting.
	waiting *crowd
	// ask forwards a message to one server; tests have their own.
	ask func(server string, message []byte, tcp bool) ([]byte, error)
}

// New answers from the records below root; "" = unitc's own.
func New(root, resolvConf string) *Resolver {
	return &Resolver{zone: recordsBelow(root), host: &hostServers{path: resolvConf}, waiting: newCrowd(256, 64), ask: forward}
}

func recordsBelow(root string) *zone {
	if root != "" {
		return newZone(root)
	}
	z := newZone(lease.Root())
	z.over = isOver
	return z
}

func isOver(r *lease.Record) bool { return invocation.IsOver(r.Container+".service", r.Invocation) }

// group is the network of a client; "" = none of ours.
func (r *Resolver) group(client netip.Addr) string {
	if who := r.zone.who(client); who != nil {
		return who.record.Network
	}
	return ""
}

// Answer gives the answer to a message from a client; nil = none.
func (r *Resolver) Answer(message []byte, client netip.Addr, tcp bool) []byte {
	q, status, ok := parse(message)
	if !ok {
		return nil
	}
	who := r.zone.who(client.Unmap())
	if who == nil && !tcp && !protection.Off("strangers-hear-nothing") {
		// Any container can send under addresses that nobody has (IPV6_FREEBIND), and what
		// is said to these stays in the socket until the kernel has looked for them in vain.
		return nil
	}
	if status != dnsmessage.RCodeSuccess {
		return q.reply(status, nil, "")
	}
	if who == nil || q.question.Class != dnsmessage.ClassINET {
		return q.reply(dnsmessage.RCodeRefused, nil, "")
	}
	if answer, ours := q.local(who, tcp); ours {
		return answer
	}
	if who.internal {
		// To ask others would be a way out.
		return q.reply(dnsmessage.RCodeNameError, nil, "")
	}
	return r.outside(&q, who, message, tcp)
}

// local answers what unitc's records know.
func (q *query) local(who *asker, tcp bool) ([]byte, bool) {
	if a, ok := address(q.name); ok {
		name, ours := who.reverse(a)
		if !ours {
			return nil, false
		}
		return q.pointer(name), true
	}
	addresses, found := who.lookup(q.name)
	if found {
		return q.addresses(addresses, tcp), true
	}
	if name, ok := inDomain(q.name); ok {
		return q.inDomain(who, name, tcp), true
	}
	return nil, false
}

// pointer answers with the name behind an address; "" = it has none.
func (q *query) pointer(name string) []byte {
	if name != "" {
		if q.question.Type != dnsmessage.TypePTR {
			return q.reply(dnsmessage.RCodeSuccess, nil, "")
		}
		// A container's name may have parts that are longer than DNS knows them.
		if answer := q.reply(dnsmessage.RCodeSuccess, nil, name); answer != nil {
			return answer
		}
	}
	return q.reply(dnsmessage.RCodeNameError, nil, "")
}

// addresses answers with as many as there is room for.
func (q *query) addresses(addresses []netip.Addr, tcp bool) []byte {
	// Who takes the first of several is led to another one each time.
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	answer := q.reply(dnsmessage.RCodeSuccess, addresses, "")
	room := smallest
	if tcp {
		room = largest
	}
	if len(answer) > room {
		answer = q.truncated(addresses, room)
	}
	return answer
}

// outside asks one server after the other. One that does not want to, or could
// not find out, is not the last word while there are others (resolv.conf(5) is read so by C libraries).
func (r *Resolver) outside(q *query, who *asker, message []byte, tcp bool) []byte {
	if !r.waiting.enter(who.record.Container, who.record.Network) {
		return q.reply(dnsmessage.RCodeServerFailure, nil, "")
	}
	defer r.waiting.leave(who.record.Container, who.record.Network)
	servers := who.record.DNS
	if len(servers) == 0 {
		servers = r.host.get()
	}
	for range 2 {
		var refusal []byte
		for _, server := range servers {
			if a, err := netip.ParseAddr(server); err == nil && lease.IsResolver(a.Unmap()) {
				continue // that would be this very program
			}
			answer, err := r.ask(server, message, tcp)
			if err == nil && !isRefusal(answer) {
				return answer
			}
			if refusal == nil {
				refusal = answer
			}
		}
		if refusal != nil {
			return refusal
		}
	}
	return q.reply(dnsmessage.RCodeServerFailure, nil, "")
}

func isRefusal(answer []byte) bool {
	switch dnsmessage.RCode(answer[3] & 0xf) {
	case dnsmessage.RCodeServerFailure, dnsmessage.RCodeNotImplemented, dnsmessage.RCodeRefused:
		return true
	}
	return false
}
