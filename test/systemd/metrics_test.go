// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/unitc/unitc/internal/cli/openmetrics"
)

const metricsURL = "http://127.0.0.1:9886/metrics"

// ask gives the answer to one question, with its kind.
func askMetrics(t *testing.T, method, accept string) (status int, kind, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, metricsURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), string(data)
}

// startMeasured starts containers of which there is something to tell.
func startMeasured(t *testing.T) {
	t.Helper()
	defineFor(t, "measured", sleeper+"mem_limit: 64m\npids_limit: 50\nnetwork_mode: none\nhealthcheck: {test: [CMD, 'true'], interval: 1s}\n")
	defineFor(t, "measured-fails", "rootfs: host\nnetwork_mode: none\ncommand: [sh, -c, 'exit 7']\n")
	must(t, "systemctl", "start", "measured")
	command(t, "systemctl", "start", "measured-fails")
	await(t, "it has failed", func() bool { return property(t, "measured-fails.service", "ActiveState") == "failed" })
}

// What is told is what systemd and the kernel say, on demand and over systemd's socket.
func TestMetrics(t *testing.T) {
	startMeasured(t)
	leavesNothing(t, func() {
		out := must(t, "unitc", "metrics")
		for _, want := range []string{
			`unitc_container_state{name="measured",state="running"} 1`, `unitc_container_state{name="measured",state="failed"} 0`,
			`unitc_container_state{name="measured-fails",state="failed"} 1`, `unitc_container_exit_status{name="measured-fails"} 7`,
			`unitc_container_healthy{name="measured"} 1`, `unitc_container_processes{name="measured"} 2`,
			`unitc_container_cpu_seconds_total{name="measured"} 0.`, `unitc_build_info{version=`,
			`unitc_container_info{name="measured",unit="measured.service",image="rootfs:host",definition="/etc/unitc/measured.yaml"} 1`,
		} {
			if !strings.Contains(out, "\n"+want) {
				t.Errorf("nothing says %s", want)
			}
		}
		if !strings.HasSuffix(out, "\n# EOF\n") || strings.Contains(out, `memory_bytes{name="measured-fails"}`) {
			t.Errorf("it says\n%s", out)
		}
		if out := must(t, "unitc", "metrics", "measured-fails"); strings.Contains(out, `"measured"`) {
			t.Errorf("of one container it says\n%s", out)
		}
		if out, status := command(t, "setpriv", asNobody("metrics")...); status != 4 || strings.Contains(out, "state{") {
			t.Errorf("who is not root: %d\n%s", status, out)
		}
		if out, status := command(t, "unitc", "metrics", "--http"); status != 2 || !strings.Contains(out, "unitc-metrics.socket") {
			t.Errorf("without a socket: %d\n%s", status, out)
		}

		must(t, "systemctl", "start", "unitc-metrics.socket")
		defer must(t, "systemctl", "stop", "unitc-metrics.socket")
		status, kind, text := askMetrics(t, "GET", "application/openmetrics-text; version=1.0.0")
		if status != 200 || kind != openmetrics.ContentType || !strings.Contains(text, `unitc_container_state{name="measured",state="running"} 1`) ||
			!strings.Contains(text, `unitc_container_network_received_bytes_total{name="measured"} 0`) || !strings.Contains(text, `unitc_container_cpu_seconds_total{name="measured"} `) {
			t.Errorf("%d %s\n%s", status, kind, text)
		}
		if _, kind, _ := askMetrics(t, "GET", "*/*"); kind != openmetrics.OldContentType {
			t.Errorf("who asks for anything gets %s", kind)
		}
		if status, _, text := askMetrics(t, "HEAD", "*/*"); status != 200 || text != "" {
			t.Errorf("HEAD: %d %s", status, text)
		}
		if status, _, _ := askMetrics(t, "POST", "*/*"); status != 405 {
			t.Errorf("POST: %d", status)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if status, _, _ := askMetrics(t, "GET", "*/*"); status != 200 {
					t.Errorf("beside others: %d", status)
				}
			})
		}
		all.Wait()
		await(t, "nothing runs between two questions", func() bool {
			return strings.TrimSpace(must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "unitc-metrics@*")) == ""
		})
		if out := must(t, "sh", "-c", "journalctl -q -o cat -b SYSLOG_IDENTIFIER=unitc + _PID=1 | grep metrics@ | grep -v 'pids.max for' || true"); out != "" {
			t.Errorf("the log has\n%s", out)
		}
	})
}
