// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/realm"
)

// needs says which controller of cgroup v2 a limit of a definition is a matter of.
var needs = []struct {
	controller, key string
	asks            func(*definition.Resources) bool
}{
	{"memory", "mem_limit", func(r *definition.Resources) bool { return r.MemLimit != 0 }},
	{"memory", "mem_reservation", func(r *definition.Resources) bool { return r.MemReservation != 0 }},
	{"memory", "memswap_limit", func(r *definition.Resources) bool { return r.MemswapLimit != 0 }},
	{"cpu", "cpus", func(r *definition.Resources) bool { return r.CPUs != 0 }},
	{"cpu", "cpu_quota", func(r *definition.Resources) bool { return r.CPUQuota != 0 }},
	{"cpu", "cpu_shares", func(r *definition.Resources) bool { return r.CPUShares != 0 }},
	{"cpuset", "cpuset", func(r *definition.Resources) bool { return r.CPUSet != "" }},
	{"pids", "pids_limit", func(r *definition.Resources) bool { return r.PidsLimit != nil }},
	{"io", "blkio_config", func(r *definition.Resources) bool {
		return r.BlkioWeight != 0 || len(r.BlkioWeightDevice)+len(r.DeviceReadBps)+len(r.DeviceWriteBps)+len(r.DeviceReadIOps)+len(r.DeviceWriteIOps) > 0
	}},
}

// warnOfControllers says which limits do not hold: of the controllers that the kernel
// has a user's systemd gets those that root gives it.
func (s *starter) warnOfControllers() {
	if realm.Own() == nil || s.cgroup == nil {
		return
	}
	for _, text := range missingControllers(&s.service.Resources, filepath.Dir(s.cgroup.Name())) {
		fmt.Fprintf(journal.Stderr, "<4>%s\n", text)
	}
}

func missingControllers(r *definition.Resources, unit string) (list []string) {
	data, err := os.ReadFile(unit + "/cgroup.controllers")
	if err != nil {
		return nil
	}
	have := strings.Fields(string(data))
	for _, n := range needs {
		if n.asks(r) && !slices.Contains(have, n.controller) {
			list = append(list, fmt.Sprintf("%s does not hold: this user's systemd has no controller %q of cgroups; %s", n.key, n.controller, DelegateCure))
		}
	}
	return list
}

// DelegateCure is how root gives controllers to the systemds of users.
const DelegateCure = "as root: `systemctl edit user@.service`, write [Service] and Delegate=cpu cpuset io memory pids, and have the user log in anew"
