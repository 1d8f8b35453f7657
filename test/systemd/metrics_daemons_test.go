// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"strings"
	"testing"
)

// Prometheus' own readers of both formats take what is printed.
func TestMetricsAreRead(t *testing.T) {
	startMeasured(t)
	for _, module := range []string{"prometheus_client.openmetrics.parser", "prometheus_client.parser"} {
		out := must(t, "sh", "-c", `unitc metrics | python3 -c '
import sys
from `+module+` import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        if sample.labels.get("name") == "measured":
            print(family.type, sample.name, sample.labels.get("state", ""), float(sample.value))
'`)
		for _, want := range []string{"gauge unitc_container_state running 1.0\n", "gauge unitc_container_processes  2.0\n", " unitc_container_cpu_seconds_total  0."} {
			if !strings.Contains(out, want) {
				t.Errorf("%s reads no %q:\n%s", module, want, out)
			}
		}
	}
}
