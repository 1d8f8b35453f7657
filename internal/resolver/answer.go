// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// ttl is how long an answer may be kept, in seconds: a container may be gone
// by then.
const ttl = 1

// smallest is what every client takes over UDP (RFC 1035, 4.2.1), in bytes;
// largest is what can be told over TCP (4.2.2).
const (
	smallest = 512
	largest  = 65535
)

// query is a question that was understood.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	name     string // in small letters, without the dot at its end
}

// parse reads a question. A message that is none, or cannot be read, gets no
// answer: it may have come from anywhere.
func parse(message []byte) (q query, status dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.Response {
		return q, 0, false
	}
	q.header = header
	if header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return q, dnsmessage.RCodeFormatError, true
	}
	q.question = questions[0]
	q.name = strings.ToLower(strings.TrimSuffix(q.question.Name.String(), "."))
	return q, dnsmessage.RCodeSuccess, true
}

// reply builds an answer; nil addresses and an empty name give none. It is nil
// where a name cannot be written as one.
func (q *query) reply(status dnsmessage.RCode, addresses []netip.Addr, name string) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, smallest), dnsmessage.Header{
		ID: q.header.ID, Response: true, Authoritative: status == dnsmessage.RCodeSuccess, OpCode: q.header.OpCode,
		RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: status,
	})
	b.EnableCompression()
	failed := b.StartQuestions() != nil
	if q.question.Name.Length > 0 {
		failed = failed || b.Question(q.question) != nil
	}
	failed = failed || b.StartAnswers() != nil
	head := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	for _, a := range addresses {
		switch {
		case a.Is4() && q.question.Type == dnsmessage.TypeA:
			failed = failed || b.AResource(head, dnsmessage.AResource{A: a.As4()}) != nil
		case a.Is6() && q.question.Type == dnsmessage.TypeAAAA:
			failed = failed || b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: a.As16()}) != nil
		}
	}
	if name != "" {
		ptr, err := dnsmessage.NewName(name + ".")
		failed = failed || err != nil || b.PTRResource(head, dnsmessage.PTRResource{PTR: ptr}) != nil
	}
	message, err := b.Finish()
	if failed || err != nil {
		return nil
	}
	return message
}

// truncated gives the addresses that room has place for, and says that there are
// more: all are to be had over TCP, where musl did not ask before 1.2.4.
func (q *query) truncated(addresses []netip.Addr, room int) []byte {
	addresses = slices.DeleteFunc(addresses, func(a netip.Addr) bool { return a.Is4() != (q.question.Type == dnsmessage.TypeA) })
	const least = 12 + 4 // a resource of an IPv4 address, its name compressed
	for n := min(len(addresses), room/least); ; n-- {
		message := q.reply(dnsmessage.RCodeSuccess, addresses[:n], "")
		if n > 0 && len(message) > room {
			continue
		}
		if len(message) > 2 {
			message[2] |= 1 << 1 // TC
		}
		return message
	}
}

// address reads the address of a reverse name.
func address(name string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(labels, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil
	}
	labels, ok := strings.CutSuffix(name, ".ip6.arpa")
	parts := strings.Split(labels, ".")
	if !ok || len(parts) != 32 {
		return netip.Addr{}, false
	}
	digits := make([]byte, 32)
	for i, p := range parts {
		if len(p) != 1 {
			return netip.Addr{}, false
		}
		digits[31-i] = p[0]
	}
	var b [16]byte
	if _, err := hex.Decode(b[:], digits); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(b), true
}
