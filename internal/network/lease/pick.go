// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"net/netip"
	"slices"
)

// Hash is a number that follows from a name, the same at every start.
func Hash(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	// FNV's low bits differ little for names that differ in their last letter.
	return bits.RotateLeft64(h.Sum64()*0x9E3779B97F4A7C15, 32)
}

// most bounds the search in ranges larger than anybody fills.
const most = 1 << 20

// pick goes round the range from where the name says.
func (s *Subnet) pick(container string, taken map[netip.Addr]string, reserved ...netip.Addr) (netip.Addr, error) {
	span := uint64(most)
	if host := s.Range.Addr().BitLen() - s.Range.Bits(); host < 20 {
		span = 1 << host
	}
	start := Hash(container) % span
	for i := range span {
		a := Nth(s.Range, (start+i)%span)
		if s.usable(a) && taken[a] == "" && !slices.Contains(reserved, a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w in %s", ErrFull, s.Range)
}

// usable leaves out what means something else: the network's own address, the
// broadcast address, the gateway, where names are answered, and what the definition reserves.
func (s *Subnet) usable(a netip.Addr) bool {
	if a == s.Gateway || a == s.Prefix.Masked().Addr() || IsResolver(a) || slices.Contains(s.Taken, a) {
		return false
	}
	return !a.Is4() || s.Prefix.Bits() >= 31 || a != Last(s.Prefix)
}

// Claimable tells whether a container may have the address for itself.
func (s *Subnet) Claimable(a netip.Addr) bool { return s.Prefix.Contains(a) && s.usable(a) }

// Nth is the n-th address of a range.
func Nth(p netip.Prefix, n uint64) netip.Addr {
	base := p.Masked().Addr()
	if base.Is4() {
		b := base.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := base.As16()
	low := binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[8:], low+n)
	return netip.AddrFrom16(b)
}

// Last is the last address of an IPv4 range: its broadcast address.
func Last(p netip.Prefix) netip.Addr {
	return Nth(p, 1<<(32-p.Bits())-1)
}
