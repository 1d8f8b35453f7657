// SPDX-License-Identifier: Apache-2.0

package openmetrics

import (
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	memory := &Family{Name: "x_memory_bytes", Unit: "bytes", Kind: Gauge, Help: "Memory.\nAll \\ of it."}
	memory.Add(1<<40, Label{"name", "we\"b\\\n\xff"}, Label{"other", ""})
	cpu := &Family{Name: "x_cpu_seconds", Unit: "seconds", Kind: Counter, Help: "Processor time."}
	cpu.Add(0.25, Label{"name", "web"})
	cpu.Add(1e-7)
	none := &Family{Name: "x_none", Kind: Gauge, Help: "Of nothing."}
	var b strings.Builder
	if err := Write(&b, []*Family{memory, none, cpu}); err != nil {
		t.Fatal(err)
	}
	const want = `# TYPE x_memory_bytes gauge
# UNIT x_memory_bytes bytes
# HELP x_memory_bytes Memory.\nAll \\ of it.
x_memory_bytes{name="we\"b\\\n�",other=""} 1099511627776
# TYPE x_cpu_seconds counter
# UNIT x_cpu_seconds seconds
# HELP x_cpu_seconds Processor time.
x_cpu_seconds_total{name="web"} 0.25
x_cpu_seconds_total{} 0.0000001
# EOF
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}
