// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// span is a run of numbers, up to the next span, that lead to one place.
type span struct {
	first uint32
	to    label
}

// spans lays out the number space of one audit architecture: the calls that
// the profile decides, over the zones for those it does not name. Neighbours
// differ, so that each border costs one comparison at most.
func (p *profile) spans(a *assembler, shared []abi) []span {
	calls, zones := p.layout(a, shared)
	spans := make([]span, 0, len(calls)+len(zones))
	add := func(first uint64, to label) {
		if n := len(spans); n == 0 || spans[n-1].to != to {
			spans = append(spans, span{uint32(first), to})
		}
	}
	for i, zone := range zones {
		at, end := uint64(zone.first), uint64(1)<<32
		if i+1 < len(zones) {
			end = uint64(zones[i+1].first)
		}
		for ; len(calls) > 0 && uint64(calls[0].first) < end; calls = calls[1:] {
			nr := uint64(calls[0].first)
			if nr > at {
				add(at, zone.to)
			}
			add(nr, calls[0].to)
			at = nr + 1
		}
		if at < end {
			add(at, zone.to)
		}
	}
	return spans
}

// layout gives the decided calls of the ABIs that share an audit architecture,
// sorted by number, and the zones between them.
func (p *profile) layout(a *assembler, shared []abi) (calls, zones []span) {
	other := a.ret(p.ret)
	newer := other
	if p.ret&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO {
		newer = a.ret(retENOSYS)
	}
	for _, b := range shared {
		uses, newest := p.uses(b)
		calls = append(calls, p.decide(a, uses, b.narrow)...)
		zones = append(zones, span{b.base(), other})
		if newest >= 0 {
			zones = append(zones, span{b.base() + uint32(newest) + 1, newer})
		}
	}
	if shared[0].audit == unix.AUDIT_ARCH_X86_64 && len(shared) == 1 {
		// x32 is foreign then; -1 is no call of it, but what a tracer leaves
		// of a call it swallowed, and answers ENOSYS without a filter.
		last := zones[len(zones)-1].to
		zones = append(zones, span{x32Bit, a.ret(unix.SECCOMP_RET_KILL_PROCESS)}, span{1<<32 - 1, last})
	}
	return calls, zones
}

// uses gives every (number, index of entry) pair of an ABI in order, packed
// for sorting, and the highest number that the profile names.
func (p *profile) uses(b abi) (uses []uint64, newest int32) {
	newest = -1
	uses = make([]uint64, 0, 512)
	for i := range p.entries {
		e := &p.entries[i]
		for _, row := range e.names {
			nr := row.nr[b.column]
			if nr < armPrivate {
				newest = max(newest, nr)
			}
			if nr >= 0 && e.ret != p.ret {
				uses = append(uses, uint64(uint32(nr)+b.base())<<32|uint64(i))
			}
		}
	}
	if b.muxed {
		muxed := p.muxUses(b)
		for _, use := range muxed {
			newest = max(newest, int32(use>>32))
		}
		uses = append(uses, muxed...)
	}
	slices.Sort(uses)
	return slices.Compact(uses), newest
}

// decide emits the code that decides each number.
func (p *profile) decide(a *assembler, uses []uint64, narrow bool) []span {
	calls := make([]span, 0, len(uses))
	for len(uses) > 0 {
		nr := uint32(uses[0] >> 32)
		n := 1
		for n < len(uses) && uint32(uses[n]>>32) == nr {
			n++
		}
		calls = append(calls, span{nr, p.decision(a, uses[:n], narrow)})
		uses = uses[n:]
	}
	return calls
}

// decision emits the code for one number: its rules one after the other.
func (p *profile) decision(a *assembler, uses []uint64, narrow bool) label {
	if e := &p.entries[uint32(uses[0])]; len(e.rules) == 0 {
		return a.ret(e.ret) // nearly every call: no list need be made
	}
	rules, next := p.ordered(uses, narrow), a.ret(p.ret)
	for _, r := range slices.Backward(rules) {
		yes := a.ret(r.ret)
		for _, c := range slices.Backward(r.conditions) {
			yes = a.condition(c, yes, next)
		}
		next = yes
	}
	return next
}

// maxChain is how many single numbers in one surrounding are compared one by
// one instead of by halving: fewer instructions for a few more steps, which
// only denied calls and those judged by argument ever take (assemble.go).
const maxChain = 4

// search emits the way from the number in the accumulator, known to lie
// between the first span's start and end, to the place its span leads to.
func (a *assembler) search(spans []span, end uint64) label {
	if len(spans) == 1 {
		return spans[0].to
	}
	if around, ok := chain(spans, end); ok {
		l := around
		for _, s := range slices.Backward(spans) {
			if s.to != around {
				l = a.branch(opJEQ, s.first, s.to, l)
			}
		}
		return l
	}
	mid := len(spans) / 2
	border := spans[mid].first
	right := a.search(spans[mid:], end)
	left := a.search(spans[:mid], uint64(border))
	return a.branch(opJGE, border, right, left)
}

// chain tells whether all but a few single numbers lead to one place.
func chain(spans []span, end uint64) (around label, ok bool) {
	around = -1
	for i, s := range spans {
		next := end
		if i+1 < len(spans) {
			next = uint64(spans[i+1].first)
		}
		switch single := uint64(s.first)+1 == next; {
		case single || s.to == around:
		case around < 0:
			around = s.to
		default:
			return 0, false
		}
	}
	if around < 0 {
		around = spans[len(spans)-1].to
	}
	others := 0
	for _, s := range spans {
		if s.to != around {
			others++
		}
	}
	return around, others <= maxChain
}
