// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"slices"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

type service = definition.Service
type limits = definition.Resources

func number(n int64) *int64 { return &n }

// lines leaves out what every container has, so that a row shows its own.
func lines(s *service) string {
	var list []string
	for _, d := range Directives(s) {
		line := d.Name + "=" + d.Value
		if line != "TasksMax=2048" && line != "DevicePolicy=closed" {
			list = append(list, line)
		}
	}
	return strings.Join(list, "\n")
}

func TestDirectives(t *testing.T) {
	const mib = 1 << 20
	sda := []definition.DeviceRate{{Path: "/dev/sda", Rate: 1000}, {Path: "/dev/my disk", Rate: 500}}
	for _, c := range []struct {
		name    string
		service service
		want    string
	}{
		{"nothing", service{}, ""},
		{"memory allows as much swap", service{Resources: limits{MemLimit: 64 * mib}}, "MemoryMax=67108864\nMemorySwapMax=67108864"},
		{"memory and swap together", service{Resources: limits{MemLimit: 64 * mib, MemswapLimit: 96 * mib}}, "MemoryMax=67108864\nMemorySwapMax=33554432"},
		{"no swap", service{Resources: limits{MemLimit: 64 * mib, MemswapLimit: 64 * mib}}, "MemoryMax=67108864\nMemorySwapMax=0"},
		{"less than the memory is no swap", service{Resources: limits{MemLimit: 64 * mib, MemswapLimit: mib}}, "MemoryMax=67108864\nMemorySwapMax=0"},
		{"unlimited swap", service{Resources: limits{MemLimit: 64 * mib, MemswapLimit: -1}}, "MemoryMax=67108864\nMemorySwapMax=infinity"},
		{"swap without memory", service{Resources: limits{MemswapLimit: mib}}, ""},
		{"reservation", service{Resources: limits{MemReservation: mib}}, "MemoryLow=1048576"},
		{"half a processor", service{Resources: limits{CPUs: 0.5}}, "CPUQuota=50%"},
		{"a third", service{Resources: limits{CPUs: 0.3333}}, "CPUQuota=33.33%"},
		{"2.05", service{Resources: limits{CPUs: 2.05}}, "CPUQuota=205%"},
		{"1.0001", service{Resources: limits{CPUs: 1.0005}}, "CPUQuota=100.05%"},
		{"least", service{Resources: limits{CPUs: 0.00001}}, "CPUQuota=0.01%"},
		{"quota", service{Resources: limits{CPUQuota: 50000}}, "CPUQuota=50%"},
		{"quota and period", service{Resources: limits{CPUQuota: 50000, CPUPeriod: 200000}}, "CPUQuota=25%\nCPUQuotaPeriodSec=200000us"},
		{"cpus and period", service{Resources: limits{CPUs: 1.5, CPUPeriod: 10000}}, "CPUQuota=150%\nCPUQuotaPeriodSec=10000us"},
		{"period alone", service{Resources: limits{CPUPeriod: 10000}}, ""},
		{"unlimited quota", service{Resources: limits{CPUQuota: -1}}, ""},
		{"cpuset", service{Resources: limits{CPUSet: "0-3,5"}}, "AllowedCPUs=0-3,5"},
		{"blkio weight", service{Resources: limits{BlkioWeight: 500}}, "IOWeight=100"},
		{"least blkio weight", service{Resources: limits{BlkioWeight: 10}}, "IOWeight=2"},
		{"device weights", service{Resources: limits{BlkioWeightDevice: sda}}, "IODeviceWeight=/dev/sda 200\nIODeviceWeight=\"/dev/my disk\" 100"},
		{"device rates", service{Resources: limits{DeviceReadBps: sda[:1], DeviceWriteBps: sda[:1], DeviceReadIOps: sda[:1], DeviceWriteIOps: sda[:1]}},
			"IOReadBandwidthMax=/dev/sda 1000\nIOWriteBandwidthMax=/dev/sda 1000\nIOReadIOPSMax=/dev/sda 1000\nIOWriteIOPSMax=/dev/sda 1000"},
		{"device", service{Devices: []definition.Device{{Source: "/dev/fuse", Target: "/dev/fuse", Permissions: "rw"}}}, "DeviceAllow=/dev/fuse rw"},
		{"device with odd name", service{Devices: []definition.Device{{Source: "/dev/a b%", Permissions: "r"}}}, `DeviceAllow="/dev/a b%%" r`},
		{"scope last", service{Resources: limits{CPUs: 1}, System: definition.System{Scope: []definition.Directive{{Name: "CPUQuota", Value: "7%"}}}},
			"CPUQuota=100%\nCPUQuota=7%"},
	} {
		if got := lines(&c.service); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := Directives(&service{})
	want := []definition.Directive{{Name: "TasksMax", Value: "2048"}, {Name: "DevicePolicy", Value: "closed"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPrivilegedHasNoDeviceRule(t *testing.T) {
	s := service{Privileged: true, Devices: []definition.Device{{Source: "/dev/fuse", Permissions: "rw"}}, DeviceCgroupRules: []string{"c 1:3 r"}}
	if got := lines(&s); got != "DevicePolicy=auto" {
		t.Errorf("got %s", got)
	}
}

func TestTasksMax(t *testing.T) {
	for _, c := range []struct {
		limit *int64
		want  string
	}{{nil, "2048"}, {number(-1), "infinity"}, {number(0), "infinity"}, {number(7), "7"}} {
		if got := tasksMax(c.limit); got[0] != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// The three fixed points of the curve, and values in between as runc 1.3.2 has them.
func TestCPUWeight(t *testing.T) {
	for shares, want := range map[int64]string{1: "1", 2: "1", 102: "17", 512: "59", 1024: "100", 2048: "174", 262143: "10000", 262144: "10000", 1 << 40: "10000"} {
		if got := cpuWeight(shares); got[0] != want {
			t.Errorf("%d gives %s, want %s", shares, got[0], want)
		}
	}
	if got := cpuWeight(0); got != nil {
		t.Errorf("no shares gives %s", got)
	}
}

func TestDeviceRules(t *testing.T) {
	for rule, want := range map[string]string{
		"c 10:229 rwm": "DeviceAllow=/dev/char/10:229 rwm",
		"b 8:* r":      "DeviceAllow=block-8 r",
		"a 7:1 rw":     "DeviceAllow=/dev/char/7:1 rw\nDeviceAllow=/dev/block/7:1 rw",
		"a *:* rwm":    "DeviceAllow=char-* rwm\nDeviceAllow=block-* rwm",
	} {
		s := service{DeviceCgroupRules: []string{rule}}
		if got := lines(&s); got != want || len(Check(&s)) != 0 {
			t.Errorf("%q gives\n%s\nwant\n%s\n%s", rule, got, want, Check(&s))
		}
	}
	for _, rule := range []string{"", "c", "c 1:3", "x 1:3 r", "c 1 r", "c *:3 r", "c 1:3 rx", "c 1:3 rwmr", "c 1:3 r extra", "c -1:3 r", "c 1:9999999 r", "c +1:3 r"} {
		s := service{DeviceCgroupRules: []string{rule}}
		if got := lines(&s); got != "" || len(Check(&s)) != 1 {
			t.Errorf("%q gives %q and problems %q", rule, got, Check(&s))
		}
	}
}

func TestDeviceThatNoDirectiveCanName(t *testing.T) {
	s := service{Devices: []definition.Device{{Source: "/dev/\x01", Permissions: "rwm"}},
		Resources: limits{DeviceReadBps: []definition.DeviceRate{{Path: "/dev/\xff", Rate: 1}}}}
	if got := lines(&s); got != "" || len(Check(&s)) != 2 {
		t.Errorf("got %q and problems %q", got, Check(&s))
	}
}

func TestOOMPolicy(t *testing.T) {
	s := service{}
	if got := OOMPolicy(&s); got != "kill" {
		t.Errorf("got %s", got)
	}
	s.System.Scope = []definition.Directive{{Name: "OOMPolicy", Value: "continue"}}
	if got := OOMPolicy(&s); got != "continue" {
		t.Errorf("got %s", got)
	}
}

func TestRowsHaveReasons(t *testing.T) {
	for _, r := range rows {
		if len(r.why) < 10 {
			t.Errorf("%s has no reason", r.directive)
		}
	}
}
