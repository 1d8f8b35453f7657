// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/unitc/unitc/internal/journal/lookup"
)

func TestFindDropped(t *testing.T) {
	line := func(text string) string {
		return `{"__REALTIME_TIMESTAMP":"1795326783716045","MESSAGE":"` + text + "\"}\n"
	}
	for name, test := range map[string]struct {
		unit, entries string
		lines         int // 0 = no such start
	}{
		"262": {"a.service", line("b.service: Found ordering cycle: a.service/start after b.service/start - after a.service") +
			line("b.service: Job a.service/start deleted to break ordering cycle starting with b.service/start"), 2},
		"252": {"a.service", line("b.service: Found ordering cycle on a.service/start") + line("b.service: Found dependency on c.service/start") +
			line("b.service: Found dependency on b.service/start") + line("b.service: Job a.service/start deleted to break ordering cycle starting with b.service/start"), 4},
		"another unit's": {"a.service", line("b.service: Found ordering cycle on a.service/start") + line("b.service: Job aa.service/start deleted to break ordering cycle starting with b.service/start"), 0},
		"a stop":         {"a.service", line("b.service: Job a.service/stop deleted to break ordering cycle starting with b.service/start"), 0},
		"two cycles": {"a.service", line("x.service: Found ordering cycle on y.service/start") + line("x.service: Job y.service/start deleted to break ordering cycle starting with x.service/start") +
			line("b.service: Found ordering cycle on a.service/start") + line("b.service: Job a.service/start deleted to break ordering cycle starting with b.service/start"), 2},
		"nothing": {"a.service", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := lookup.Parse([]byte(test.entries))
			if err != nil {
				t.Fatal(err)
			}
			got := findDropped(test.unit, records)
			lines := 0
			if got != nil {
				lines = len(got.Lines)
			}
			if lines != test.lines {
				t.Errorf("%d lines: %+v", lines, got)
			}
		})
	}
}
