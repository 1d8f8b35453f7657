// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// An image declares volumes without end: each start would make a directory of the
// host for each, and nothing removes them.
func TestVolumesWithoutEnd(t *testing.T) {
	declare := func(n int) []byte {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"/v/%d":{}`, i))
		}
		return []byte(`{"os":"linux","config":{"Volumes":{` + strings.Join(list, ",") + `}}}`)
	}
	if _, err := parseConfig(declare(maxVolumes+1), 0); !errors.Is(err, ErrRefused) {
		t.Errorf("%d volumes: %v", maxVolumes+1, err)
	}
	if c, err := parseConfig(declare(maxVolumes), 0); err != nil || len(c.prepared().Volumes) != maxVolumes {
		t.Errorf("%d volumes: %v", maxVolumes, err)
	}
}
