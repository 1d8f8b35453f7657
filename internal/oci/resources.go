// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/oci/bundle"
)

var resourceVerbs = []verb{
	{name: "pause", args: "<container-id>", help: "freeze all processes of a container", least: 1, most: 1, run: pause},
	{name: "resume", args: "<container-id>", help: "thaw a paused container", least: 1, most: 1, run: resume},
	{name: "update", args: "<container-id>", help: "change the limits of a container", least: 1, most: 1, run: update,
		options: []option{
			{"resources", "r", "FILE", "limits as JSON; - is standard input"},
			{"blkio-weight", "", "N", "block IO weight, 10 to 1000"},
			{"cpu-period", "", "USEC", "period of the quota"},
			{"cpu-quota", "", "USEC", "CPU time in each period"},
			{"cpu-burst", "", "USEC", "CPU time beyond the quota"},
			{"cpu-share", "", "N", "shares, 1024 as a rule"},
			{"cpu-rt-period", "", "USEC", "no counterpart in cgroup v2"},
			{"cpu-rt-runtime", "", "USEC", "no counterpart in cgroup v2"},
			{"cpu-idle", "", "N", "1: only when nobody else runs"},
			{"cpuset-cpus", "", "LIST", "processors"},
			{"cpuset-mems", "", "LIST", "memory nodes"},
			{"kernel-memory", "", "BYTES", "accepted, without effect as in runc"},
			{"kernel-memory-tcp", "", "BYTES", "accepted, without effect as in runc"},
			{"memory", "", "BYTES", "memory"},
			{"memory-reservation", "", "BYTES", "memory that is kept from reclaim"},
			{"memory-swap", "", "BYTES", "memory and swap together; -1 = no limit"},
			{"pids-limit", "", "N", "processes; -1 = no limit"},
			{"l3-cache-schema", "", "SCHEMA", "Intel RDT"},
			{"mem-bw-schema", "", "SCHEMA", "Intel RDT"},
		}},
}

func pause(c *call) error {
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	if s := k.status(); s != specs.StateRunning && s != specs.StateCreated {
		return errNotRunning
	}
	if k.Cgroup == "" {
		return fmt.Errorf("the container has no cgroup of its own")
	}
	return k.group().Freeze(true)
}

func resume(c *call) error {
	k, err := c.look(c.args[0])
	if err != nil {
		return err
	}
	if k.status() != statePaused && !(k.Cgroup != "" && k.group().Frozen()) {
		return errNotPaused
	}
	return k.group().Freeze(false)
}

func update(c *call) error {
	k, err := c.open(c.args[0])
	if err != nil {
		return err
	}
	defer k.unlock()
	if k.status() == specs.StateStopped {
		return errNotRunning
	}
	r := &specs.LinuxResources{}
	if path := c.get("resources"); path != "" {
		if err := readResources(path, r); err != nil {
			return err
		}
	} else if err := c.resources(r); err != nil {
		return err
	}
	spec, err := k.config()
	if err != nil {
		return err
	}
	if spec.Linux.Resources == nil {
		spec.Linux.Resources = &specs.LinuxResources{}
	}
	completeSwap(r, spec.Linux.Resources)
	if err := k.group().Apply(r); err != nil {
		return err
	}
	if len(r.Devices) > 0 {
		if err := k.group().ApplyDevices(r.Devices); err != nil {
			return err
		}
	}
	// What is there now, for the next one who changes a part of it.
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, spec.Linux.Resources); err != nil {
		return err
	}
	return k.saveConfig()
}

// completeSwap: the figure of swap counts memory too, so each needs the other.
func completeSwap(r, old *specs.LinuxResources) {
	if r.Memory == nil || old.Memory == nil {
		return
	}
	if r.Memory.Swap != nil && *r.Memory.Swap > 0 && r.Memory.Limit == nil {
		r.Memory.Limit = old.Memory.Limit
	}
}

func readResources(path string, r *specs.LinuxResources) error {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(os.Stdin, bundle.MaxFile))
	} else {
		b, err = bundle.ReadFile(path)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, r); err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	return nil
}

// resources reads the flags.
func (c *call) resources(r *specs.LinuxResources) error {
	var cpu specs.LinuxCPU
	var memory specs.LinuxMemory
	var weight uint16
	var pids int64
	signed := func(to **int64) func(int64) { return func(n int64) { *to = &n } }
	unsigned := func(to **uint64) func(int64) { return func(n int64) { u := uint64(n); *to = &u } }
	for _, f := range []struct {
		name  string
		bytes bool
		set   func(int64)
	}{
		{"blkio-weight", false, func(n int64) { weight = uint16(n); r.BlockIO = &specs.LinuxBlockIO{Weight: &weight} }},
		{"cpu-period", false, unsigned(&cpu.Period)}, {"cpu-quota", false, signed(&cpu.Quota)}, {"cpu-burst", false, unsigned(&cpu.Burst)},
		{"cpu-share", false, unsigned(&cpu.Shares)}, {"cpu-rt-period", false, unsigned(&cpu.RealtimePeriod)},
		{"cpu-rt-runtime", false, signed(&cpu.RealtimeRuntime)}, {"cpu-idle", false, signed(&cpu.Idle)},
		{"memory", true, signed(&memory.Limit)}, {"memory-reservation", true, signed(&memory.Reservation)}, {"memory-swap", true, signed(&memory.Swap)},
		{"pids-limit", false, func(n int64) { pids = n; r.Pids = &specs.LinuxPids{Limit: &pids} }},
	} {
		if !c.given(f.name) {
			continue
		}
		n, err := c.integer(f.name)
		if f.bytes {
			n, err = parseBytes(c.get(f.name))
		}
		if err != nil {
			return fmt.Errorf("invalid value for %s: %w", f.name, err)
		}
		f.set(n)
	}
	cpu.Cpus, cpu.Mems = c.get("cpuset-cpus"), c.get("cpuset-mems")
	r.CPU, r.Memory = &cpu, &memory
	if c.given("l3-cache-schema") || c.given("mem-bw-schema") {
		//lint:ignore ST1005 a name
		return fmt.Errorf("Intel RDT: no schema can be changed here")
	}
	return nil
}

// parseBytes reads "64m" and "-1".
func parseBytes(s string) (int64, error) {
	factor := int64(1)
	number := strings.ToLower(strings.TrimSuffix(strings.ToLower(s), "b"))
	number = strings.TrimSuffix(number, "i")
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgtp", number[n-1]); i >= 0 {
			factor = 1 << (10 * (i + 1))
			number = number[:n-1]
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > 0 && n > (1<<63-1)/factor {
		return 0, fmt.Errorf("invalid size: '%s'", s)
	}
	return n * factor, nil
}
