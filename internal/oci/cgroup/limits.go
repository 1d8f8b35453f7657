// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cgroupfs"
)

// setting is one value for one control file.
type setting struct{ file, value string }

// Apply writes the limits. What cgroup v2 or this kernel does not have is an
// error when it is asked for, never silence.
func (g Group) Apply(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if g == "" {
		if settings, err := Settings(r); err != nil || len(settings) > 0 {
			return errors.Join(err, errors.New("the container has limits and no cgroup of its own"))
		}
		return nil
	}
	settings, err := Settings(r)
	if err != nil {
		return err
	}
	for _, s := range settings {
		if err := g.set(s); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses limits of memory that are reached already, where the container
// asks for that.
func (g Group) Check(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate {
		return nil
	}
	return fits(m, g.number("memory.current"), g.number("memory.swap.current"))
}

// Enable passes down the controllers that these limits need: to a scope systemd
// passes those that it knows itself, and huge pages are not among them. What
// cannot be passed is told by Apply.
func (g Group) Enable(r *specs.LinuxResources) {
	settings, _ := Settings(r)
	for _, s := range settings {
		controller := s.controller()
		if g == "" || slices.Contains(g.controllers(), controller) {
			continue
		}
		parents := strings.Split(string(g), "/")
		for i := 1; i < len(parents); i++ {
			pass(cgroupfs.Mount()+strings.Join(parents[:i], "/"), controller)
		}
	}
}

func (s setting) controller() string {
	name, _, _ := strings.Cut(s.file, ".")
	return name
}

func (g Group) controllers() []string { return strings.Fields(g.read("cgroup.controllers")) }

func (g Group) set(s setting) error {
	err := write(g.file(s.file), s.value)
	if errors.Is(err, fs.ErrNotExist) {
		switch s.file {
		case "io.bfq.weight":
			return g.set(setting{"io.weight", bfqToWeight(s.value)})
		case "cpu.max.burst", "cpu.idle":
			if s.value == "0" {
				return nil
			}
		}
		if s.value == "max" || strings.HasPrefix(s.value, "max ") || s.file == "cpu.weight" && s.value == "100" {
			return nil // what it is without the controller
		}
		if strings.Contains(s.file, ".rsvd.") {
			return nil // hugetlb reservations: Linux 5.7
		}
		if slices.Contains(g.controllers(), s.controller()) {
			return fmt.Errorf("setting %s to %q: the %s controller of this kernel has no such file", s.file, s.value, s.controller())
		}
		return fmt.Errorf("setting %s to %q: the %s controller is not available to cgroup %s", s.file, s.value, s.controller(), g)
	}
	if err != nil {
		return fmt.Errorf("setting %s to %q: %w", s.file, s.value, err)
	}
	return nil
}

// bfqToWeight turns 10..1000, of all devices or after the number of one, into
// 1..10000 as io.weight has it.
func bfqToWeight(value string) string {
	device, weight, ok := strings.Cut(value, " ")
	if !ok {
		device, weight = "default", value
	}
	if n, err := strconv.ParseUint(weight, 10, 64); err == nil && n >= 10 {
		weight = strconv.FormatUint(IOWeight(n), 10)
	}
	return device + " " + weight
}

// IOWeight turns weights from 10 to 1000 into those from 1 to 10000.
func IOWeight(weight uint64) uint64 { return 1 + (max(weight, 10)-10)*9999/990 }

// Settings are the control files that limits become, in the order of writing.
func Settings(r *specs.LinuxResources) ([]setting, error) {
	var list []setting
	var errs []error
	add := func(file, value string) { list = append(list, setting{file, value}) }
	refuse := func(given bool, what string) {
		if given {
			errs = append(errs, fmt.Errorf("linux.resources.%s has no counterpart in cgroup v2", what))
		}
	}
	if n := r.Network; n != nil {
		refuse(n.ClassID != nil && *n.ClassID != 0, "network.classID")
		refuse(len(n.Priorities) > 0, "network.priorities")
	}
	if r.Memory != nil {
		errs = append(errs, memory(r.Memory, add, refuse))
	}
	if r.CPU != nil {
		cpu(r.CPU, add, refuse)
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit != 0 {
		add("pids.max", limit(*p.Limit))
	}
	if r.BlockIO != nil {
		errs = append(errs, blockIO(r.BlockIO, add, refuse))
	}
	for _, h := range r.HugepageLimits {
		if h.Pagesize == "" || strings.ContainsAny(h.Pagesize, "/.\n\x00") {
			errs = append(errs, fmt.Errorf("linux.resources.hugepageLimits: %q is not a page size", h.Pagesize))
			continue
		}
		add("hugetlb."+h.Pagesize+".max", strconv.FormatUint(h.Limit, 10))
		add("hugetlb."+h.Pagesize+".rsvd.max", strconv.FormatUint(h.Limit, 10))
	}
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		line := device
		if l := r.Rdma[device]; true {
			if l.HcaHandles == nil && l.HcaObjects == nil {
				errs = append(errs, fmt.Errorf("linux.resources.rdma: %s has neither hcaHandles nor hcaObjects", device))
			}
			if l.HcaHandles != nil {
				line += fmt.Sprintf(" hca_handle=%d", *l.HcaHandles)
			}
			if l.HcaObjects != nil {
				line += fmt.Sprintf(" hca_object=%d", *l.HcaObjects)
			}
		}
		add("rdma.max", line)
	}
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		if file == "" || strings.ContainsAny(file, "/\x00") || !strings.Contains(file, ".") || strings.HasPrefix(file, "cgroup.") {
			errs = append(errs, fmt.Errorf("linux.resources.unified: %q is not a file of a controller", file))
			continue
		}
		// Lines apply one by one (io.max).
		for line := range strings.Lines(r.Unified[file]) {
			add(file, strings.TrimSuffix(line, "\n"))
		}
	}
	return list, errors.Join(errs...)
}

// limit spells -1 as cgroup v2 does.
func limit(n int64) string {
	if n < 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

// fits refuses limits that are reached already (runtime-spec config-linux.md,
// "Memory", checkBeforeUpdate): the kernel would reclaim, and kill. Usage is in
// bytes, that of memory without swap.
func fits(m *specs.LinuxMemory, memory, swap uint64) error {
	for _, c := range []struct {
		what  string
		limit *int64
		usage uint64
	}{{"memory", m.Limit, memory}, {"memory and swap", m.Swap, memory + swap}} {
		if c.limit != nil && *c.limit > 0 && uint64(*c.limit) <= c.usage {
			return fmt.Errorf("rejecting a limit of %s of %d bytes: %d are in use; raise it, or leave checkBeforeUpdate out", c.what, *c.limit, c.usage)
		}
	}
	return nil
}

func memory(m *specs.LinuxMemory, add func(file, value string), refuse func(bool, string)) error {
	//lint:ignore SA1019 still specified, and refused
	refuse(m.Kernel != nil && *m.Kernel > 0, "memory.kernel")
	refuse(m.KernelTCP != nil && *m.KernelTCP > 0, "memory.kernelTCP")
	refuse(m.Swappiness != nil, "memory.swappiness")
	refuse(m.DisableOOMKiller != nil && *m.DisableOOMKiller, "memory.disableOOMKiller")
	refuse(m.UseHierarchy != nil && !*m.UseHierarchy, "memory.useHierarchy: false")
	if m.Reservation != nil && *m.Reservation != 0 {
		add("memory.low", limit(*m.Reservation))
	}
	most := int64(0)
	if m.Limit != nil {
		most = *m.Limit
	}
	if m.Swap != nil && *m.Swap != 0 {
		// The specification's figure is memory and swap together.
		switch swap := *m.Swap; {
		case swap < 0:
			add("memory.swap.max", "max")
		case most <= 0:
			return errors.New("linux.resources.memory: a limit of swap needs one of memory")
		case swap < most:
			return fmt.Errorf("linux.resources.memory: swap %d counts memory too and is below its limit %d", swap, most)
		default:
			add("memory.swap.max", strconv.FormatInt(swap-most, 10))
		}
	}
	if most != 0 {
		add("memory.max", limit(most))
	}
	return nil
}

func cpu(c *specs.LinuxCPU, add func(file, value string), refuse func(bool, string)) {
	refuse(c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0, "cpu.realtimeRuntime")
	refuse(c.RealtimePeriod != nil && *c.RealtimePeriod != 0, "cpu.realtimePeriod")
	if c.Idle != nil {
		add("cpu.idle", strconv.FormatInt(*c.Idle, 10))
	}
	if c.Shares != nil && *c.Shares != 0 && (c.Idle == nil || *c.Idle == 0) {
		add("cpu.weight", strconv.FormatUint(Weight(*c.Shares), 10))
	}
	period := uint64(100000)
	if c.Period != nil && *c.Period != 0 {
		period = *c.Period
	}
	// The burst may not exceed the quota, whichever is written first.
	if c.Burst != nil && *c.Burst == 0 {
		add("cpu.max.burst", "0")
	}
	switch {
	case c.Quota != nil && *c.Quota > 0:
		add("cpu.max", fmt.Sprintf("%d %d", *c.Quota, period))
	case c.Quota != nil && *c.Quota < 0, c.Period != nil && *c.Period != 0:
		add("cpu.max", fmt.Sprintf("max %d", period))
	}
	if c.Burst != nil && *c.Burst != 0 {
		add("cpu.max.burst", strconv.FormatUint(*c.Burst, 10))
	}
	if c.Cpus != "" {
		add("cpuset.cpus", c.Cpus)
	}
	if c.Mems != "" {
		add("cpuset.mems", c.Mems)
	}
}

// Weight turns shares, 2 to 262144 with 1024 as the usual, into weights, 1 to
// 10000 with 100 as the usual: a curve through these three points, as runc 1.4
// and crun 1.23 have it.
func Weight(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func blockIO(b *specs.LinuxBlockIO, add func(file, value string), refuse func(bool, string)) (err error) {
	refuse(b.LeafWeight != nil && *b.LeafWeight != 0, "blockIO.leafWeight")
	if b.Weight != nil && *b.Weight != 0 {
		add("io.bfq.weight", strconv.Itoa(int(*b.Weight)))
	}
	for i, d := range b.WeightDevice {
		if d.Weight == nil && d.LeafWeight == nil {
			err = errors.Join(err, fmt.Errorf("linux.resources.blockIO.weightDevice[%d]: %d:%d has neither weight nor leafWeight", i, d.Major, d.Minor))
		}
		refuse(d.LeafWeight != nil && *d.LeafWeight != 0, "blockIO.weightDevice.leafWeight")
		if d.Weight != nil {
			add("io.bfq.weight", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, *d.Weight))
		}
	}
	for _, t := range []struct {
		key  string
		list []specs.LinuxThrottleDevice
	}{
		{"rbps", b.ThrottleReadBpsDevice}, {"wbps", b.ThrottleWriteBpsDevice},
		{"riops", b.ThrottleReadIOPSDevice}, {"wiops", b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.list {
			value := strconv.FormatUint(d.Rate, 10)
			if d.Rate == 0 {
				value = "max"
			}
			add("io.max", fmt.Sprintf("%d:%d %s=%s", d.Major, d.Minor, t.key, value))
		}
	}
	return err
}

// Controllers are those that the hierarchy has here.
func Controllers() []string {
	b, _ := os.ReadFile(cgroupfs.Mount() + "/cgroup.controllers")
	return strings.Fields(string(b))
}
