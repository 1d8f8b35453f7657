// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
)

// Registers of nf_tables: the first 16 bytes, the 16 behind them, and single
// words of both (NFT_REG_1, NFT_REG_2, NFT_REG32_00 and so on).
const (
	reg1  = unix.NFT_REG_1
	reg2  = unix.NFT_REG_2
	word0 = unix.NFT_REG32_00
)

type match = []expr.Any

func join(parts ...match) match { return slices.Concat(parts...) }

func in(s *nftables.Set, not bool) match {
	return match{&expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID, Invert: not}}
}

func iif() match { return match{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}} }
func oif() match { return match{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}} }

func fromBridge() match    { return join(iif(), in(bridges(), false)) }
func notFromBridge() match { return join(iif(), in(bridges(), true)) }
func toBridge() match      { return join(oif(), in(bridges(), false)) }
func notToBridge() match   { return join(oif(), in(bridges(), true)) }

func withinNetwork() match {
	return match{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: same().Name},
	}
}

func equal(data ...byte) *expr.Cmp {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data}
}

func toItself(v6 bool) match {
	load := join(family(unix.NFPROTO_IPV4), match{ip4(saddr4, word0), ip4(daddr4, word0+1)})
	if v6 {
		load = join(family(unix.NFPROTO_IPV6), match{ip6(saddr6, reg1), ip6(daddr6, reg2)})
	}
	return join(load, match{&expr.Lookup{SourceRegister: reg1, SetName: itself(v6).Name}})
}

func family(proto byte) match {
	return match{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1}, equal(proto)}
}

func protocol(number byte) match {
	return match{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal(number)}
}

func ip4(offset uint32, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

func ip6(offset uint32, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 16}
}

// Offsets of addresses in the headers of IPv4 and IPv6.
const saddr4, daddr4, saddr6, daddr6 = 12, 16, 8, 24

func dport(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func loopback4(offset uint32) match {
	return join(family(unix.NFPROTO_IPV4), match{ip4(offset, reg1),
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: []byte{255, 0, 0, 0}, Xor: make([]byte, 4)},
		equal(127, 0, 0, 0)})
}

// notLoopback6: answers to ::1 cannot come in by a bridge, IPv6 has no
// route_localnet. Nobody listens there, so clients go on to 127.0.0.1 at once.
func notLoopback6() match {
	loopback := netip.IPv6Loopback().As16()
	return match{ip6(daddr6, reg1), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: loopback[:]}}
}

func toResolver() match {
	a := lease.Resolver.As4()
	return join(family(unix.NFPROTO_IPV4), match{ip4(daddr4, reg1), equal(a[:]...)})
}

func toResolver6() match {
	a := lease.Resolver6.As16()
	return join(family(unix.NFPROTO_IPV6), match{ip6(daddr6, reg1), equal(a[:]...)})
}

// spoofed: the way back to the source is not the way that the packet came.
func spoofed() match {
	return match{&expr.Fib{Register: reg1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, equal(0, 0, 0, 0)}
}

// toHost: the packet is for an address of the host's own.
func toHost() match {
	return match{&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true}, equal(native(unix.RTN_LOCAL)...)}
}

func conntrack(key expr.CtKey, mask uint32) match {
	return match{&expr.Ct{Register: reg1, Key: key},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(mask), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)}}
}

func established() match {
	return conntrack(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// invalid: of no connection that is known, so that it is not translated.
func invalid() match { return conntrack(expr.CtKeySTATE, expr.CtStateBitINVALID) }

// published: IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
func published() match { return conntrack(expr.CtKeySTATUS, 1<<5) }

func verdict(kind expr.VerdictKind) match { return match{&expr.Verdict{Kind: kind}} }

func jump(chain string) match {
	return match{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

var (
	drop   = verdict(expr.VerdictDrop)
	accept = verdict(expr.VerdictAccept)
	hide   = match{&expr.Masq{}}
)
