// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/oci/cgroup"
)

// scopeProperties are the limits that systemd would overwrite with its own at
// the next reload, unless it is told; the files are written as well.
func scopeProperties(r *specs.LinuxResources) []definition.Directive {
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
		if m.Swap != nil && m.Limit != nil && *m.Swap > *m.Limit && *m.Limit > 0 {
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
