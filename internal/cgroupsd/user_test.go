// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import "testing"

func TestMapped(t *testing.T) {
	const rootless = "         0       1000          1\n         1     100000      65536\n"
	for uid, want := range map[int]int{0: 1000, 1: 100000, 65536: 165535} {
		if got, err := mapped(rootless, uid); err != nil || got != want {
			t.Errorf("%d is %d outside (%v), want %d", uid, got, err, want)
		}
	}
	if got, err := mapped("0 0 4294967295\n", 1500); err != nil || got != 1500 {
		t.Errorf("without a namespace 1500 is %d (%v)", got, err)
	}
	for _, lines := range []string{"", rootless, "nonsense\n"} {
		if got, err := mapped(lines, 70000); err == nil {
			t.Errorf("%q puts 70000 to %d", lines, got)
		}
	}
}
