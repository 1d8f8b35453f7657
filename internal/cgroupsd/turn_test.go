// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTurnsAreTakenOneByOne(t *testing.T) {
	turnFile = t.TempDir() + "/turn"
	var inside, most atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			done := takeTurn(t.Context())
			most.Store(max(most.Load(), inside.Add(1)))
			time.Sleep(2 * time.Millisecond)
			inside.Add(-1)
			done()
		})
	}
	group.Wait()
	if most.Load() != 1 {
		t.Errorf("%d had their turn at once", most.Load())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	defer takeTurn(t.Context())()
	takeTurn(ended)() // does not wait
}
