// SPDX-License-Identifier: Apache-2.0

package seccomp

import "testing"

// TestReach puts the two ways of a branch at every distance around the reach
// of a conditional jump, where one more instruction decides.
func TestReach(t *testing.T) {
	for far := maxSkip - 4; far <= maxSkip+4; far++ {
		for n := range 2 * far {
			near, swapped := n/2, n%2 == 1
			a := newAssembler()
			one := a.ret(1)
			for i := range far - near {
				a.ret(uint32(1000 + i))
			}
			two := a.ret(2)
			for i := range near {
				a.ret(uint32(5000 + i))
			}
			var first label
			if swapped {
				first = a.branch(opJEQ, 8, two, one)
			} else {
				first = a.branch(opJEQ, 7, one, two)
			}
			a.follow(opLoad, offsetNr, first)
			filter := a.program()
			for nr, want := range map[uint32]uint32{7: 1, 8: 2} {
				if got, _ := run(filter, call{nr: nr}); got != want {
					t.Fatalf("distances %d and %d, number %d: got %d, want %d", far, near, nr, got, want)
				}
			}
		}
	}
}
