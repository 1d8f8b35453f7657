// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/oci/cgroup"
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
			{"kernel-memory", "", "BYTES", "ignored with a warning, as in runc"},
			{"kernel-memory-tcp", "", "BYTES", "ignored with a warning, as in runc"},
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
	complete(r, spec.Linux.Resources)
	if _, err := cgroup.Settings(r); err != nil {
		return err
	}
	if err := k.group().Check(r); err != nil {
		return err
	}
	if err := k.tell(r); err != nil {
		return err
	}
	k.group().Enable(r)
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

// complete adds what belongs to a new limit and stays as it is: memory and swap
// are one figure, a quota is written with its period, and whether a limit that is
// reached is refused is a matter of the container.
func complete(r, old *specs.LinuxResources) {
	if m, was := r.Memory, old.Memory; m != nil && (m.Limit != nil || m.Swap != nil) {
		if was == nil {
			was = &specs.LinuxMemory{}
		}
		switch {
		case m.Limit == nil:
			m.Limit = was.Limit
		case m.Swap == nil && *m.Limit == -1:
			m.Swap = m.Limit // as runc: no limit at all
		case m.Swap == nil && was.Swap != nil && *was.Swap > 0:
			m.Swap = was.Swap
		}
		if m.CheckBeforeUpdate == nil {
			m.CheckBeforeUpdate = was.CheckBeforeUpdate
		}
	}
	if c, was := r.CPU, old.CPU; c != nil && was != nil && (c.Quota != nil || c.Period != nil) {
		if c.Quota == nil {
			c.Quota = was.Quota
		}
		if c.Period == nil {
			c.Period = was.Period
		}
	}
}

// tell makes new limits known to systemd, which would write its own again when it
// next changes the scope, and shows them.
func (k *container) tell(r *specs.LinuxResources) error {
	properties := bundle.AllScopeProperties(r)
	if k.Scope == "" || len(properties) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), scopeTimeout)
	defer cancel()
	if rootless() {
		return cgroupsd.SetUserScope(ctx, k.Scope, properties)
	}
	return cgroupsd.SetScope(ctx, k.Scope, properties)
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
	const lowest = math.MinInt64
	for _, f := range []struct {
		name        string
		bytes       bool
		least, most int64
		set         func(int64)
	}{
		{"blkio-weight", false, 0, 1000, func(n int64) { weight = uint16(n); r.BlockIO = &specs.LinuxBlockIO{Weight: &weight} }},
		{"cpu-period", false, 0, math.MaxInt64, unsigned(&cpu.Period)}, {"cpu-quota", false, lowest, math.MaxInt64, signed(&cpu.Quota)},
		{"cpu-burst", false, 0, math.MaxInt64, unsigned(&cpu.Burst)}, {"cpu-share", false, 0, math.MaxInt64, unsigned(&cpu.Shares)},
		{"cpu-rt-period", false, 0, math.MaxInt64, unsigned(&cpu.RealtimePeriod)},
		{"cpu-rt-runtime", false, lowest, math.MaxInt64, signed(&cpu.RealtimeRuntime)}, {"cpu-idle", false, 0, 1, signed(&cpu.Idle)},
		{"memory", true, -1, math.MaxInt64, signed(&memory.Limit)}, {"memory-reservation", true, -1, math.MaxInt64, signed(&memory.Reservation)},
		{"memory-swap", true, -1, math.MaxInt64, signed(&memory.Swap)},
		{"pids-limit", false, -1, math.MaxInt64, func(n int64) { pids = n; r.Pids = &specs.LinuxPids{Limit: &pids} }},
	} {
		if !c.given(f.name) {
			continue
		}
		n, err := c.integer(f.name)
		if f.bytes {
			n, err = parseBytes(c.get(f.name))
		}
		switch {
		case err != nil:
			return fmt.Errorf("invalid value for %s: %w", f.name, err)
		case n < f.least:
			return fmt.Errorf("invalid value for %s: %d is below %d", f.name, n, f.least)
		case n > f.most:
			return fmt.Errorf("invalid value for %s: %d is above %d", f.name, n, f.most)
		}
		f.set(n)
	}
	for _, name := range []string{"kernel-memory", "kernel-memory-tcp"} {
		if c.given(name) {
			c.log.warn("Setting --%s is ignored: cgroup v2 has no such limit", name)
		}
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
