// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/runtime"
)

// TestPerformanceNamesRealSteps: the table of where the time goes is of the
// steps that a launch has, and of all that it names.
func TestPerformanceNamesRealSteps(t *testing.T) {
	text, err := os.ReadFile("PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := append(launch.Steps(false), runtime.StepNames()...)
	rows := regexp.MustCompile("(?m)^\\| (?:helper|payload's first process) \\| (?:&nbsp;)*`([a-z-]+)`").FindAllStringSubmatch(string(text), -1)
	if len(rows) < 30 {
		t.Errorf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		if !slices.Contains(steps, row[1]) {
			t.Errorf("PERFORMANCE.md: no launch has a step %s; run `make bench` and take bin/bench/trace.md", row[1])
		}
	}
}
