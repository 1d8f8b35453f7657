// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import "testing"

func TestSlicePath(t *testing.T) {
	for slice, want := range map[string]string{"unitc.slice": "/unitc.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice", "-.slice": ""} {
		if got := slicePath(slice); got != want {
			t.Errorf("%s lies in %s, want %s", slice, got, want)
		}
	}
}
