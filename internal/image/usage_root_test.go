// SPDX-License-Identifier: Apache-2.0

package image

import "testing"

// What `unitc history` and `unitc df` print: an image's layers, the last first,
// and what of the store would go with a prune.
func TestHistoryAndUsage(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	name := w.push("a", "1", b)
	if _, err := w.client.Pull(ctx, name, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	steps, err := w.client.History(name)
	if err != nil || len(steps) != 2 || steps[0].Layer != digestOf(b.layers[1]) || steps[1].Layer != digestOf(b.layers[0]) || steps[1].Size != int64(len(b.layers[0])) {
		t.Errorf("the history is %+v, %v", steps, err)
	}
	for _, gone := range []bool{false, true} {
		if gone {
			if err := w.client.Store.Untag(mustParse(t, name)); err != nil {
				t.Fatal(err)
			}
		}
		usage, err := w.client.Store.Usage()
		if err != nil || len(usage) == 0 || usage[0].Count != 2 || usage[0].Bytes == 0 || usage[0].Reclaimable > 0 != gone {
			t.Errorf("without its name %v: %+v, %v", gone, usage, err)
		}
	}
}
