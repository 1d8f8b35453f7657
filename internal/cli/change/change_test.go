// SPDX-License-Identifier: Apache-2.0

package change

import (
	"slices"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

func text(s string) *string { return &s }

func TestCompare(t *testing.T) {
	running := &definition.Service{
		Name: "web", Source: definition.Source{File: "/etc/unitc/web.yaml", Line: 1}, RootFS: "host", Command: []string{"a"},
		Environment: []definition.Env{{Name: "A", Value: text("1")}, {Name: "B", Value: text("same")}, {Name: "GONE", Value: text("x")}},
		Volumes:     []definition.Volume{{Type: "bind", Source: "/srv", Target: "/data"}},
		Resources:   definition.Resources{MemLimit: 64 << 20},
		System:      definition.System{Service: []definition.Directive{{Name: "Nice", Value: "1"}, {Name: "Environment", Value: "A=1"}, {Name: "Environment", Value: "B=2"}}},
	}
	file := &definition.Service{
		Name: "web", Source: definition.Source{File: "/etc/unitc/web.yaml", Line: 7}, RootFS: "/srv/web", Command: []string{"a", "b"},
		Environment: []definition.Env{{Name: "B", Value: text("same")}, {Name: "A", Value: nil}},
		Volumes:     []definition.Volume{{Type: "bind", Source: "/srv", Target: "/data", ReadOnly: true}},
		Resources:   definition.Resources{MemLimit: 1 << 30, CPUs: 0.5}, StopGracePeriod: 90 * time.Second,
		System: definition.System{Service: []definition.Directive{{Name: "Nice", Value: "1"}, {Name: "Environment", Value: "A=1"}}},
	}
	got, err := Compare(running, file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{"command", `["a"]`, `["a","b"]`, Restart},
		{"cpus", "", "0.5", Live},
		{"environment[A]", "1", "unset", Restart},
		{"environment[GONE]", "x", "", Restart},
		{"mem_limit", "64m", "1g", Live},
		{"rootfs", "host", "/srv/web", Recreate},
		{"stop_grace_period", "", "1m30s", Live},
		{"systemd.service.Environment", "A=1, B=2", "A=1", Restart},
		{"volumes[/data]", `{"source":"/srv","type":"bind"}`, `{"read_only":true,"source":"/srv","type":"bind"}`, Restart},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if got := Most(got); got != Recreate {
		t.Errorf("it takes %q", got)
	}
	same, err := Compare(file, file)
	if err != nil || len(same) != 0 || Most(same) != "" {
		t.Errorf("a definition differs from itself: %q %v", same, err)
	}
}

// Each key of the table is one that a definition has.
func TestRowsAreKeys(t *testing.T) {
	count, n := 3, int64(1)
	everything := &definition.Service{
		Image: "x", RootFS: "x", Bundle: "x", Platform: "x", UsernsMode: "x", StopSignal: "x", StopGracePeriod: 1, PullPolicy: "x", PullRefreshAfter: 1, WaitFor: []string{"x"},
		Restart: definition.Restart{Policy: "x"}, Replicas: &count, Rollout: &definition.Rollout{Parallelism: &count}, Active: true, Profiles: []string{"x"},
		DependsOn: []definition.Dependency{{Service: "db"}},
		Resources: definition.Resources{
			MemLimit: 1, MemReservation: 1, MemswapLimit: 1, CPUs: 1, CPUShares: 1, CPUPeriod: 1, CPUQuota: 1, CPUSet: "1", PidsLimit: &n, BlkioWeight: 1,
			BlkioWeightDevice: []definition.DeviceRate{{Path: "/x"}}, DeviceReadBps: []definition.DeviceRate{{Path: "/x"}}, DeviceWriteBps: []definition.DeviceRate{{Path: "/x"}},
			DeviceReadIOps: []definition.DeviceRate{{Path: "/x"}}, DeviceWriteIOps: []definition.DeviceRate{{Path: "/x"}},
		},
		System: definition.System{
			Scope: []definition.Directive{{Name: "X"}}, Unit: []definition.Directive{{Name: "X"}}, Install: []definition.Directive{{Name: "X"}}, Timer: []definition.Directive{{Name: "X"}},
		},
	}
	list, err := Compare(&definition.Service{}, everything)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !slices.ContainsFunc(list, func(c Change) bool { return (row{key: r.key}).matches(c.Field) }) {
			t.Errorf("no field %s", r.key)
		}
	}
	for _, c := range list {
		if c.Effort == Restart {
			t.Errorf("%s takes a restart", c.Field)
		}
	}
	rest, err := Compare(LiveOnly(&definition.Service{}, everything), everything)
	if err != nil || slices.ContainsFunc(rest, func(c Change) bool { return c.Effort == Live }) {
		t.Errorf("what is live was not taken: %q %v", rest, err)
	}
}

func TestLimits(t *testing.T) {
	running := []definition.Directive{{Name: "MemoryMax", Value: "64"}, {Name: "CPUQuota", Value: "50%"}, {Name: "IOReadBandwidthMax", Value: "/dev/a 1"}, {Name: "TasksMax", Value: "9"}}
	file := []definition.Directive{{Name: "MemoryMax", Value: "128"}, {Name: "IOReadBandwidthMax", Value: "/dev/a 1"}, {Name: "IOReadBandwidthMax", Value: "/dev/b 2"}, {Name: "TasksMax", Value: "9"}}
	want := "[Scope]\nMemoryMax=\nMemoryMax=128\nCPUQuota=\nIOReadBandwidthMax=\nIOReadBandwidthMax=/dev/a 1\nIOReadBandwidthMax=/dev/b 2\n"
	if got := Limits("Scope", running, file); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	assign := []string{"MemoryMax=128", "CPUQuota=", "IOReadBandwidthMax=", "IOReadBandwidthMax=/dev/a 1", "IOReadBandwidthMax=/dev/b 2"}
	if got := Assignments(append(running, definition.Directive{Name: "TimeoutStopSec", Value: "1"}), file); !slices.Equal(got, assign) {
		t.Errorf("got %q, want %q", got, assign)
	}
	if got := Limits("Scope", file, file); got != "" {
		t.Errorf("no change gives %q", got)
	}
}
