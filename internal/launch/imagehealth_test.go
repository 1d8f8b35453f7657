// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"testing"
	"time"

	"github.com/unitc/unitc/internal/store"
)

// Figures below nothing, which Docker refuses when an image is built, would have the
// first failure of a start count as its last.
func TestImageHealthBelowNothing(t *testing.T) {
	h := imageHealth(&store.Healthcheck{Test: []string{"CMD", "/check"}, Timeout: -1, Retries: -1, StartPeriod: -1})
	if h.Timeout != 0 || h.Retries != 0 || h.StartPeriod != 0 {
		t.Errorf("%+v", h)
	}
}

// An image's own check is not made as often as it likes: a thousand in a second would take
// a processor of the host's, whatever the container's limit is.
func TestImageHealthTooOften(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		0: 0, 1: leastOfImages, -1: leastOfImages, time.Millisecond: leastOfImages, leastOfImages: leastOfImages, 30 * time.Second: 30 * time.Second,
	} {
		h := imageHealth(&store.Healthcheck{Test: []string{"CMD", "/check"}, Interval: given, StartInterval: given})
		if h.Interval != want || h.StartInterval != want {
			t.Errorf("of %v it makes %v and %v", given, h.Interval, h.StartInterval)
		}
	}
}
