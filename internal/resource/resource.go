// SPDX-License-Identifier: Apache-2.0

// Package resource turns Compose's limits into systemd's resource-control
// directives, as text. The same text stands in a unit file (`cgroup: service`)
// and is sent to PID 1 as properties of the scope, so that both placements
// mean the same. It is pure: no I/O, no facts of the host.
package resource

import (
	"strconv"

	"github.com/unitc/unitc/internal/definition"
)

// DefaultTasksMax bounds a fork bomb where the definition says nothing: what
// podman gives, and far below systemd's own default of 15 % of the host's.
const DefaultTasksMax = 2048

// row is one key of the definition and what it becomes.
type row struct {
	directive string
	why       string
	values    func(*definition.Service) []string
}

// rows is the policy, in the order of emission (STYLE: policy is data).
var rows = []row{
	{"MemoryMax", "mem_limit is the hard limit, memory.max",
		func(s *definition.Service) []string { return positive(s.Resources.MemLimit) }},
	{"MemoryLow", "mem_reservation is what the kernel leaves alone while others can give; docker and runc map it to memory.low as well",
		func(s *definition.Service) []string { return positive(s.Resources.MemReservation) }},
	{"MemorySwapMax", "memory.swap.max counts swap alone, memswap_limit counts memory too; with none given docker and podman allow as much swap as memory",
		func(s *definition.Service) []string { return swapMax(&s.Resources) }},
	{"CPUWeight", "cpu_shares in the scale of cpu.weight, so that Docker's 1024 is systemd's 100",
		func(s *definition.Service) []string { return cpuWeight(s.Resources.CPUShares) }},
	{"CPUQuota", "cpus, or cpu_quota in each cpu_period, as a share of one processor",
		func(s *definition.Service) []string { return cpuQuota(&s.Resources) }},
	{"CPUQuotaPeriodSec", "cpu_period is the length of the window in which the quota counts; without a quota it has no meaning",
		func(s *definition.Service) []string { return cpuPeriod(&s.Resources) }},
	{"AllowedCPUs", "cpuset: systemd takes the same list form",
		func(s *definition.Service) []string { return text(s.Resources.CPUSet) }},
	{"TasksMax", "pids_limit; a container without one is held at 2048",
		func(s *definition.Service) []string { return tasksMax(s.Resources.PidsLimit) }},
	{"IOWeight", "blkio_config.weight in the scale of io.weight, 500 being Compose's normal and 100 systemd's",
		func(s *definition.Service) []string { return ioWeight(int64(s.Resources.BlkioWeight)) }},
	{"IODeviceWeight", "the same for one device",
		func(s *definition.Service) []string { return rates(s.Resources.BlkioWeightDevice, blkioToIO) }},
	{"IOReadBandwidthMax", "bytes a second, io.max",
		func(s *definition.Service) []string { return rates(s.Resources.DeviceReadBps, asIs) }},
	{"IOWriteBandwidthMax", "bytes a second, io.max",
		func(s *definition.Service) []string { return rates(s.Resources.DeviceWriteBps, asIs) }},
	{"IOReadIOPSMax", "operations a second, io.max",
		func(s *definition.Service) []string { return rates(s.Resources.DeviceReadIOps, asIs) }},
	{"IOWriteIOPSMax", "operations a second, io.max",
		func(s *definition.Service) []string { return rates(s.Resources.DeviceWriteIOps, asIs) }},
	{"DevicePolicy", "closed allows null zero full random urandom tty ptmx and pts and nothing else; set on the unit, because systemd writes its own rules again at every reload (C-15)",
		devicePolicy},
	{"DeviceAllow", "devices: and device_cgroup_rules: on top of the closed set",
		deviceAllow},
}

// Directives gives the limits of a service's payload, the `systemd.scope`
// directives last: of two assignments systemd keeps the later, so they win.
// OOMPolicy is not among them, see OOMPolicy.
func Directives(s *definition.Service) []definition.Directive {
	var list []definition.Directive
	for i := range rows {
		for _, value := range rows[i].values(s) {
			list = append(list, definition.Directive{Name: rows[i].directive, Value: value})
		}
	}
	for _, d := range s.System.Scope {
		if d.Name != "OOMPolicy" {
			list = append(list, d)
		}
	}
	return list
}

// OOMPolicy is the payload's OOMPolicy=: one process out of memory ends the
// container, as a container with half its processes is of no use. Always legal
// on a service; on a scope only since systemd 253, and 252 refuses the whole
// transient unit for it.
func OOMPolicy(s *definition.Service) string {
	for i := len(s.System.Scope) - 1; i >= 0; i-- {
		if s.System.Scope[i].Name == "OOMPolicy" {
			return s.System.Scope[i].Value
		}
	}
	return "kill"
}

func positive(n int64) []string {
	if n <= 0 {
		return nil
	}
	return []string{strconv.FormatInt(n, 10)}
}

func text(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func swapMax(r *definition.Resources) []string {
	switch {
	case r.MemswapLimit < 0:
		return []string{"infinity"}
	case r.MemLimit <= 0:
		// memswap_limit alone says nothing about swap: docker refuses it.
		return nil
	case r.MemswapLimit == 0:
		return []string{strconv.FormatInt(r.MemLimit, 10)}
	}
	return []string{strconv.FormatInt(max(r.MemswapLimit-r.MemLimit, 0), 10)}
}

func tasksMax(limit *int64) []string {
	switch {
	case limit == nil:
		return []string{strconv.Itoa(DefaultTasksMax)}
	case *limit <= 0:
		// 0 is docker's older word for -1.
		return []string{"infinity"}
	}
	return positive(*limit)
}
