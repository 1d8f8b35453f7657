// SPDX-License-Identifier: Apache-2.0

package resolver

import "sync"

// crowd bounds how many are at something, in all and of one kind, so that one
// container cannot take the others' places.
type crowd struct {
	most, mostEach int

	mu   sync.Mutex
	all  int
	each map[string]int
}

func newCrowd(most, mostEach int) *crowd {
	return &crowd{most: most, mostEach: mostEach, each: map[string]int{}}
}

// enter tells whether there was a place; who has got one leaves.
func (c *crowd) enter(who string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.each[who] >= c.mostEach {
		return false
	}
	c.all++
	c.each[who]++
	return true
}

func (c *crowd) leave(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.each[who]--; c.each[who] == 0 {
		delete(c.each, who)
	}
}
