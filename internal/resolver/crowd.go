// SPDX-License-Identifier: Apache-2.0

package resolver

import "sync"

// crowd bounds how many are at something, in all, of one kind and of one group, so that
// neither one container nor all those of a network can take the others' places: a group
// has no more places than it leaves free. One alone comes to half of all, and however
// many take what they can, who comes next finds a place.
type crowd struct {
	most, mostEach int

	mu     sync.Mutex
	all    int
	each   map[string]int
	groups map[string]int
}

func newCrowd(most, mostEach int) *crowd {
	return &crowd{most: most, mostEach: mostEach, each: map[string]int{}, groups: map[string]int{}}
}

// enter tells whether there was a place; who has got one leaves.
func (c *crowd) enter(who, group string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.groups[group] >= c.most-c.all || c.each[who] >= c.mostEach {
		return false
	}
	c.all++
	c.each[who]++
	c.groups[group]++
	return true
}

func (c *crowd) leave(who, group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.each[who]--; c.each[who] == 0 {
		delete(c.each, who)
	}
	if c.groups[group]--; c.groups[group] == 0 {
		delete(c.groups, group)
	}
}
