// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// New limits reach the kernel while the container runs, and a reload leaves
// them there.
func TestLimitsChangeLive(t *testing.T) {
	const payload = "rootfs: host\ncommand: [/bin/sh, -c, 'trap exit TERM; sleep infinity & wait']\n"
	everywhere(t, []definition{{name: "live", text: payload + "mem_limit: 64m\ncpus: 0.5"}}, func(t *testing.T, list []*container) {
		c := list[0]
		c.start(t)
		_, placement, _ := strings.Cut(c.name, "-")
		limits := func() string {
			var words []string
			for _, file := range []string{"memory.max", "cpu.max", "pids.max"} {
				data, err := os.ReadFile(c.cgroup() + "/" + file)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, strings.TrimSpace(string(data)))
				// What the payload looks at to size itself: the same, or nothing where there is no limit.
				if seen, err := os.ReadFile(c.cgroup() + "/payload/" + file); placement == "scope" && file != "pids.max" && string(seen) != string(data) && (err == nil || !strings.HasPrefix(string(data), "max ")) {
					t.Errorf("of %s the payload sees %q, %v; the limit is %q", file, seen, err, data)
				}
			}
			return strings.Join(words, ", ")
		}
		expect := func(when, want string) {
			t.Helper()
			if got := limits(); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		expect("at the start", "67108864, 50000 100000, 2048")
		if placement == "scope" {
			if seen := run(t, "unitc", "exec", c.name, "cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"); seen != "67108864\n50000 100000" {
				t.Errorf("the payload sees %q", seen)
			}
			unit, _ := os.ReadFile(c.cgroup() + "/memory.oom.group")
			if leaf, err := os.ReadFile(c.cgroup() + "/payload/memory.oom.group"); err != nil || string(leaf) != string(unit) {
				t.Errorf("when memory runs out the kernel goes by %q, %v; systemd says %q", leaf, err, unit)
			}
		}
		checkStats(t, c.name)
		pid := c.show("MainPID")
		text := payload + "mem_limit: 96m\npids_limit: 33\nsystemd: {cgroup: " + placement + "}\n"
		if err := os.WriteFile("/etc/unitc/"+c.name+".yaml", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "unitc", "apply", c.name)
		expect("after apply", "100663296, max 100000, 33")
		run(t, "systemctl", "daemon-reload")
		expect("after a reload", "100663296, max 100000, 33")
		if placement == "scope" {
			run(t, "unitc", "update-limits", c.name, "mem_limit=48m")
			run(t, "systemctl", "daemon-reload")
			expect("after update-limits and a reload", "50331648, max 100000, 33")
			run(t, "unitc", "update-limits", c.name, "mem_limit=80m", "cpus=2")
			expect("after update-limits that raises them", "83886080, 200000 100000, 33")
		}
		if got := c.show("MainPID"); got != pid {
			t.Errorf("it was restarted: %s, before %s", got, pid)
		}
		run(t, "systemctl", "restart", c.name)
		expect("after a restart", "100663296, max 100000, 33")
	})
}

// "`stats` (live CPU, memory, IO, pids, network, pressure from cgroup files)":
// what a kernel with all of it counts of a container that idles.
func checkStats(t *testing.T, name string) {
	t.Helper()
	var list []map[string]any
	out := run(t, "unitc", "stats", "--no-stream", "--json", name)
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	want := map[string]float64{
		"cpu_usec": 1, "cpu_percent": 0, "memory_bytes": 4096, "memory_limit_bytes": 64 << 20, "pids": 2, "pids_limit": 2048, "net_received_bytes": 0,
	}
	if _, err := os.Stat("/proc/pressure"); err == nil { // unless the kernel was built with CONFIG_PSI_DEFAULT_DISABLED
		want["cpu_pressure"], want["memory_pressure"] = 0, 0
	}
	for key, least := range want {
		if n, ok := list[0][key].(float64); !ok || n < least {
			t.Errorf("%s is %v, want %v or more", key, list[0][key], least)
		}
	}
	for _, want := range []string{"memory_limit_bytes{name=%q} 67108864", "processes_limit{name=%q} 2048", "memory_bytes{name=%q} "} {
		if text := run(t, "unitc", "metrics", name); !strings.Contains(text, fmt.Sprintf("\nunitc_container_"+want, name)) {
			t.Errorf("the metrics have no %s:\n%s", want, text)
		}
	}
	if table := run(t, "unitc", "stats", name); !strings.Contains(table, "/64M") {
		t.Errorf("the table has no limit:\n%s", table)
	}
}
