// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"testing"

	"github.com/unitc/unitc/internal/store"
)

// Figures below nothing, which Docker refuses when an image is built, would have the
// first failure of a start count as its last.
func TestImageHealthBelowNothing(t *testing.T) {
	h := imageHealth(&store.Healthcheck{Test: []string{"CMD", "/check"}, Retries: -1, StartPeriod: -1})
	if h.Retries != 0 || h.StartPeriod != 0 {
		t.Errorf("%+v", h)
	}
}
