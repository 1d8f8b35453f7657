// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// orderedRule is one rule of a call on one ABI.
type orderedRule struct {
	ret        uint32
	conditions []condition // by argument
}

// ordered gives the rules of a call in the order in which they are tried: the
// first that compares nothing, alone, if there is one.
func (p *profile) ordered(uses []uint64, narrow bool) []orderedRule {
	var rules []orderedRule
	for _, use := range uses {
		e := &p.entries[uint32(use)]
		if len(e.rules) == 0 {
			return []orderedRule{{ret: e.ret}}
		}
		for _, args := range e.rules {
			r := orderedRule{e.ret, conditions(args, narrow)}
			if len(r.conditions) == 0 {
				return []orderedRule{r}
			}
			rules = append(rules, r)
		}
	}
	sortRules(rules)
	return rules
}

// conditions leaves out what an empty mask makes of an argument: nothing.
func conditions(args []specs.LinuxSeccompArg, narrow bool) []condition {
	cs := make([]condition, 0, len(args))
	for _, arg := range args {
		if c := newCondition(arg, narrow); c.mask != 0 {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(a, b condition) int { return cmp.Compare(a.offset, b.offset) })
	return cs
}

// sortRules brings the rules of a call into an order that does not follow the
// profile's, like libseccomp's (src/db.c, _db_chain_lt): where two rules with
// different actions match one call, a profile is to mean the same there and
// here. It compares condition by condition, lowest argument first; a rule that
// asks less, all else being equal, comes before one that asks more. Only rules
// that differ in nothing of this keep the profile's order.
func sortRules(rules []orderedRule) {
	slices.SortStableFunc(rules, func(a, b orderedRule) int {
		for i := range min(len(a.conditions), len(b.conditions)) {
			if order := compare(a.conditions[i], b.conditions[i]); order != 0 {
				return order
			}
		}
		return cmp.Compare(len(a.conditions), len(b.conditions))
	})
}

// compare orders two conditions: a rule that begins with a higher argument
// comes first, then equality before upper before lower bounds, then the
// tighter bound or, of two equalities, the greater value.
func compare(a, b condition) int {
	value := cmp.Compare(b.value, a.value)
	if a.rank() == upperBound {
		value = -value
	}
	return cmp.Or(cmp.Compare(b.offset, a.offset), cmp.Compare(a.rank(), b.rank()), value)
}

// Ranks of conditions.
const (
	equality = iota
	upperBound
	lowerBound
)

func (c condition) rank() int {
	switch c.op {
	case specs.OpLessThan, specs.OpLessEqual:
		return upperBound
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		return lowerBound
	}
	return equality
}
