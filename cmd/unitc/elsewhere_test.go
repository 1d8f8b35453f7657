// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// A verb of our own is never sent elsewhere.
func TestElsewhere(t *testing.T) {
	for _, c := range (&app{}).command().Commands() {
		for _, name := range append([]string{c.Name()}, c.Aliases...) {
			if other := elsewhere[name]; other != "" {
				t.Errorf("%s is a verb of unitc, and is said to be %s", name, other)
			}
		}
	}
}
