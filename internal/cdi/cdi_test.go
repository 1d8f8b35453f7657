// SPDX-License-Identifier: Apache-2.0

package cdi

import (
	"regexp"
	"testing"
)

func TestParseName(t *testing.T) {
	pattern := regexp.MustCompile("^" + NamePattern + "$")
	for s, want := range map[string]bool{
		"nvidia.com/gpu=all": true, "nvidia.com/gpu=0": true, "nvidia.com/gpu=0:1": true, "a/b=c": true, "vendor.com/net-fpga_1.x=GPU-1-2": true,
		"nvidia.com/gpu": false, "gpu=0": false, "/gpu=0": false, "nvidia.com/=0": false, "nvidia.com/gpu=": false, "nvidia.com/gpu=-": false,
		"nvidia.com/gpu=a-": false, "1vendor/gpu=0": false, "vendor/1gpu=0": false, "a/b/c=d": false, "a/b=c=d": false, "/dev/fuse": false, "a/b=c d": false, "": false,
	} {
		n, ok := ParseName(s)
		if ok != want || ok && n.String() != s {
			t.Errorf("%q: %v %q", s, ok, n)
		}
		// An editor refuses what the parser refuses.
		if pattern.MatchString(s) != want {
			t.Errorf("the pattern says otherwise of %q", s)
		}
	}
}
