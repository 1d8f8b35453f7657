// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/oci/cgroup"
)

// ScopeProperties are the limits that systemd would overwrite with its own at
// the next reload, unless it is told; the files are written as well.
func ScopeProperties(r *specs.LinuxResources) []definition.Directive {
	var list []definition.Directive
	add := func(name, value string) { list = append(list, definition.Directive{Name: name, Value: value}) }
	amount := func(n int64) string {
		if n < 0 {
			return "infinity"
		}
		return strconv.FormatInt(n, 10)
	}
	if r == nil {
		return nil
	}
	if m := r.Memory; m != nil {
		if m.Limit != nil && *m.Limit != 0 {
			add("MemoryMax", amount(*m.Limit))
		}
		if m.Reservation != nil && *m.Reservation != 0 {
			add("MemoryLow", amount(*m.Reservation))
		}
		switch {
		case m.Swap == nil || *m.Swap == 0:
		case *m.Swap < 0:
			add("MemorySwapMax", "infinity")
		case m.Limit != nil && *m.Swap >= *m.Limit && *m.Limit > 0:
			add("MemorySwapMax", amount(*m.Swap-*m.Limit))
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil && *c.Shares != 0 {
			add("CPUWeight", strconv.FormatUint(cgroup.Weight(*c.Shares), 10))
		}
		if c.Quota != nil && *c.Quota > 0 {
			period := uint64(100000)
			if c.Period != nil && *c.Period != 0 {
				period = *c.Period
				add("CPUQuotaPeriodSec", fmt.Sprintf("%dus", period))
			}
			add("CPUQuota", fmt.Sprintf("%.4f%%", float64(*c.Quota)*100/float64(period)))
		}
		if c.Cpus != "" {
			add("AllowedCPUs", c.Cpus)
		}
		if c.Mems != "" {
			add("AllowedMemoryNodes", c.Mems)
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit != 0 {
		add("TasksMax", amount(*p.Limit))
	}
	return list
}

// AllScopeProperties are those of a scope to whose files everything is written
// afterwards, one that runs too: they say also which limits are lifted.
func AllScopeProperties(r *specs.LinuxResources) []definition.Directive {
	list := ScopeProperties(r)
	if r == nil {
		return nil
	}
	if c := r.CPU; c != nil && c.Quota != nil && *c.Quota < 0 {
		list = append(list, definition.Directive{Name: "CPUQuota", Value: "infinity"})
	}
	// systemd writes it anew with any other of its limits.
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 {
		list = append(list, definition.Directive{Name: "IOWeight", Value: strconv.FormatUint(cgroup.IOWeight(uint64(*b.Weight)), 10)})
	}
	for _, u := range unified {
		if value, ok := systemdAmount(r.Unified[u.file]); ok {
			list = append(list, definition.Directive{Name: u.directive, Value: value})
		}
	}
	return list
}

// unified are files that systemd writes whenever it writes another of the same
// controller.
var unified = []struct{ file, directive string }{
	{"memory.min", "MemoryMin"}, {"memory.low", "MemoryLow"}, {"memory.high", "MemoryHigh"}, {"memory.max", "MemoryMax"},
	{"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"},
}

// systemdAmount spells what the kernel's files take as systemd does. What neither
// knows is left to the file, which tells.
func systemdAmount(value string) (string, bool) {
	value = strings.ToUpper(strings.TrimSpace(value))
	if value == "MAX" {
		return "infinity", true
	}
	_, err := strconv.ParseUint(strings.TrimRight(value, "KMGT"), 10, 64)
	return value, err == nil
}

// Refuse names the limits that ScopeProperties leaves to the files of the cgroup:
// where nobody writes those, they must not be dropped in silence.
func Refuse(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	var errs []error
	refuse := func(given bool, key, cure string) {
		if given {
			errs = append(errs, fmt.Errorf("linux.resources.%s has no place on a scope; %s", key, cure))
		}
	}
	const drop = "drop it"
	refuse(len(r.Unified) > 0, "unified", "write the directives of systemd.resource-control(5) under `systemd: {scope: …}`")
	refuse(len(r.HugepageLimits) > 0, "hugepageLimits", drop)
	refuse(len(r.Rdma) > 0, "rdma", drop)
	refuse(r.Network != nil && (r.Network.ClassID != nil || len(r.Network.Priorities) > 0), "network", drop)
	if b := r.BlockIO; b != nil {
		given := b.Weight != nil && *b.Weight != 0 || b.LeafWeight != nil && *b.LeafWeight != 0 || len(b.WeightDevice)+
			len(b.ThrottleReadBpsDevice)+len(b.ThrottleWriteBpsDevice)+len(b.ThrottleReadIOPSDevice)+len(b.ThrottleWriteIOPSDevice) > 0
		refuse(given, "blockIO", "write `blkio_config:` in the definition")
	}
	if m := r.Memory; m != nil {
		//lint:ignore SA1019 still specified, and refused
		refuse(m.Kernel != nil && *m.Kernel > 0, "memory.kernel", drop)
		refuse(m.KernelTCP != nil && *m.KernelTCP > 0, "memory.kernelTCP", drop)
		refuse(m.Swappiness != nil, "memory.swappiness", drop)
		refuse(m.DisableOOMKiller != nil && *m.DisableOOMKiller, "memory.disableOOMKiller", drop)
		refuse(m.UseHierarchy != nil && !*m.UseHierarchy, "memory.useHierarchy: false", drop)
		refuse(m.Swap != nil && *m.Swap > 0 && (m.Limit == nil || *m.Limit <= 0 || *m.Swap < *m.Limit), "memory.swap", "it counts memory too: write memory.limit, not above it")
	}
	if c := r.CPU; c != nil {
		refuse(c.Idle != nil && *c.Idle != 0, "cpu.idle", "write `systemd: {scope: {CPUWeight: idle}}`")
		refuse(c.Burst != nil && *c.Burst != 0, "cpu.burst", drop)
		refuse(c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0, "cpu.realtimeRuntime", drop)
		refuse(c.RealtimePeriod != nil && *c.RealtimePeriod != 0, "cpu.realtimePeriod", drop)
	}
	return errors.Join(errs...)
}

// DeviceRules are the devices that a scope's payload may use, as devices.allow
// of cgroup v1 has them, "c 10:229 rwm". A list that denies by name what it
// allowed before has no form there.
func DeviceRules(r *specs.LinuxResources) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	var rules []string
	for i, d := range r.Devices {
		rule, all, err := deviceRule(d)
		switch {
		case err != nil:
			return nil, fmt.Errorf("linux.resources.devices[%d]: %w", i, err)
		case d.Allow:
			rules = append(rules, rule)
		case all:
			rules = nil
		case len(rules) > 0:
			return nil, fmt.Errorf("linux.resources.devices[%d]: denying one device after others were allowed has no form on a scope; list the allowed ones alone", i)
		}
	}
	return rules, nil
}

// deviceRule spells one; what is unset is all (runtime-spec config-linux.md, "Allowed
// Device list").
func deviceRule(d specs.LinuxDeviceCgroup) (rule string, all bool, err error) {
	number := func(n *int64) string {
		if n == nil || *n < 0 {
			return "*"
		}
		return strconv.FormatInt(*n, 10)
	}
	kind, access := cmp.Or(d.Type, "a"), cmp.Or(d.Access, "rwm")
	major, minor := number(d.Major), number(d.Minor)
	switch {
	case kind != "a" && kind != "b" && kind != "c":
		err = fmt.Errorf("unknown type %q", d.Type)
	case strings.Trim(access, "rwm") != "" || len(access) > 3:
		err = fmt.Errorf("unknown access %q", d.Access)
	case len(major) > 4 || len(minor) > 7:
		err = fmt.Errorf("there is no device %s:%s", major, minor)
	case d.Allow && major == "*" && minor != "*":
		err = fmt.Errorf("minor number %s of every driver has no form on a scope; name the major number", minor)
	}
	return kind + " " + major + ":" + minor + " " + access, kind == "a" && major == "*" && minor == "*", err
}
