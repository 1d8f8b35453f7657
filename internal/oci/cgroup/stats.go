// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// Stats are a cgroup's figures in the form in which `runc events` prints them;
// engines parse it.
type Stats struct {
	CPU               CPU                  `json:"cpu"`
	CPUSet            struct{}             `json:"cpuset"`
	Memory            Memory               `json:"memory"`
	Pids              Pids                 `json:"pids"`
	BlockIO           BlockIO              `json:"blkio"`
	Hugetlb           map[string]Occupancy `json:"hugetlb"`
	IntelRdt          struct{}             `json:"intel_rdt"`
	NetworkInterfaces []struct{}           `json:"network_interfaces"`
}

// CPU times are in nanoseconds.
type CPU struct {
	Usage struct {
		Total  uint64   `json:"total,omitempty"`
		PerCPU []uint64 `json:"percpu,omitempty"`
		Kernel uint64   `json:"kernel"`
		User   uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
}

// Occupancy is in bytes.
type Occupancy struct {
	Limit uint64 `json:"limit"`
	Usage uint64 `json:"usage,omitempty"`
	Max   uint64 `json:"max,omitempty"`
	Fail  uint64 `json:"failcnt"`
}

// Memory is in bytes; Raw is memory.stat.
type Memory struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     Occupancy         `json:"usage"`
	Swap      Occupancy         `json:"swap"`
	Kernel    Occupancy         `json:"kernel"`
	KernelTCP Occupancy         `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
}

// Pids counts tasks; 0 as the limit is none.
type Pids struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockIO has a row for each device and operation.
type BlockIO struct {
	Bytes []BlockEntry `json:"ioServiceBytesRecursive,omitempty"`
	Ops   []BlockEntry `json:"ioServicedRecursive,omitempty"`
}

// BlockEntry is a figure of one device.
type BlockEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// number reads a file with one figure; "max" is the largest.
func (g Group) number(file string) uint64 {
	text := g.read(file)
	if text == "max" {
		return 1<<64 - 1
	}
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// Stats reads the figures; those of a controller that is not there are 0.
func (g Group) Stats() *Stats {
	s := &Stats{Hugetlb: map[string]Occupancy{}}
	cpu := g.table("cpu.stat")
	s.CPU.Usage.Total, s.CPU.Usage.Kernel, s.CPU.Usage.User = cpu["usage_usec"]*1000, cpu["system_usec"]*1000, cpu["user_usec"]*1000
	s.CPU.Throttling.Periods, s.CPU.Throttling.ThrottledPeriods, s.CPU.Throttling.ThrottledTime = cpu["nr_periods"], cpu["nr_throttled"], cpu["throttled_usec"]*1000
	s.Memory.Raw = g.table("memory.stat")
	s.Memory.Cache = s.Memory.Raw["file"]
	s.Memory.Usage = Occupancy{Limit: g.number("memory.max"), Usage: g.number("memory.current"), Max: g.number("memory.peak"), Fail: g.table("memory.events")["max"]}
	s.Memory.Swap = Occupancy{Limit: g.number("memory.swap.max"), Usage: g.number("memory.swap.current"), Fail: g.table("memory.swap.events")["max"]}
	// As runc counts it: memory and swap together, in the words of cgroup v1.
	s.Memory.Swap.Usage += s.Memory.Usage.Usage
	if s.Memory.Swap.Limit != math.MaxUint64 {
		s.Memory.Swap.Limit += s.Memory.Usage.Limit
	}
	for _, size := range g.hugePages() {
		file := "hugetlb." + size
		s.Hugetlb[size] = Occupancy{Limit: g.number(file + ".max"), Usage: g.number(file + ".current"), Fail: g.table(file + ".events")["max"]}
	}
	s.Pids.Current = g.number("pids.current")
	if g.read("pids.max") != "max" {
		s.Pids.Limit = g.number("pids.max")
	}
	for line := range strings.Lines(g.read("io.stat")) {
		s.BlockIO.add(strings.Fields(line))
	}
	return s
}

// hugePages are the sizes of pages that the cgroup counts, such as 2MB.
func (g Group) hugePages() (sizes []string) {
	files, _ := filepath.Glob(g.file("hugetlb.*.current"))
	for _, path := range files {
		size := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "hugetlb."), ".current")
		if !strings.HasSuffix(size, ".rsvd") {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

func (g Group) table(file string) map[string]uint64 {
	t := map[string]uint64{}
	for line := range strings.Lines(g.read(file)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if n, err := strconv.ParseUint(v, 10, 64); err == nil {
				t[k] = n
			}
		}
	}
	return t
}

// add takes a line of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...".
func (b *BlockIO) add(fields []string) {
	if len(fields) == 0 {
		return
	}
	majorText, minorText, _ := strings.Cut(fields[0], ":")
	major, _ := strconv.ParseUint(majorText, 10, 64)
	minor, _ := strconv.ParseUint(minorText, 10, 64)
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "rbytes":
			b.Bytes = append(b.Bytes, BlockEntry{major, minor, "Read", n})
		case "wbytes":
			b.Bytes = append(b.Bytes, BlockEntry{major, minor, "Write", n})
		case "rios":
			b.Ops = append(b.Ops, BlockEntry{major, minor, "Read", n})
		case "wios":
			b.Ops = append(b.Ops, BlockEntry{major, minor, "Write", n})
		}
	}
}

// OOMKills counts the processes that the kernel has killed for want of memory.
func (g Group) OOMKills() uint64 { return g.table("memory.events")["oom_kill"] }
