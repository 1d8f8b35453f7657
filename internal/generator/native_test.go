// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"testing"
)

// A name that is there is never missed; of others few are asked for.
func TestNameSet(t *testing.T) {
	var s nameSet
	for i := range 300 {
		s.add(fmt.Appendf(nil, "native%d.service", i))
	}
	wrong := 0
	for i := range 1000 {
		if name := fmt.Sprintf("native%d.service", i); !s.has(name) && i < 300 {
			t.Errorf("%s is not in the set", name)
		}
		if s.has(fmt.Sprintf("web%d.service", i)) {
			wrong++
		}
	}
	if wrong > 50 {
		t.Errorf("%d names of 1,000 are taken for others", wrong)
	}
}
