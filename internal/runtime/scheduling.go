// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

func hasScheduler(l *Launch) bool    { return l.spec.Process.Scheduler != nil }
func hasIOPriority(l *Launch) bool   { return l.spec.Process.IOPriority != nil }
func hasPersonality(l *Launch) bool  { return l.spec.Linux.Personality != nil }
func hasMemoryPolicy(l *Launch) bool { return l.spec.Linux.MemoryPolicy != nil }

// schedulerPolicies and schedulerFlags of sched_setattr(2).
var schedulerPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedulerFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 1, specs.SchedFlagReclaim: 2, specs.SchedFlagDLOverrun: 4, specs.SchedFlagKeepPolicy: 8,
	specs.SchedFlagKeepParams: 16, specs.SchedFlagUtilClampMin: 32, specs.SchedFlagUtilClampMax: 64,
}

// checkScheduler refuses what sched_setattr(2) would cut, or pass over with this
// policy.
func checkScheduler(s *specs.Scheduler) error {
	switch {
	case s == nil:
		return nil
	case s.Nice < -20 || s.Nice > 19:
		return fmt.Errorf("process.scheduler.nice %d is not from -20 to 19", s.Nice)
	case s.Nice != 0 && (s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR || s.Policy == specs.SchedDeadline):
		return fmt.Errorf("process.scheduler.nice %d says nothing to %s", s.Nice, s.Policy)
	case s.Policy != specs.SchedDeadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		return fmt.Errorf("process.scheduler: runtime, deadline and period are of SCHED_DEADLINE, and say nothing to %s", s.Policy)
	}
	return nil
}

func setScheduler(c *compiler) {
	s := c.spec.Process.Scheduler
	if c.err = checkScheduler(s); c.err != nil { // of a process that joins nobody has looked
		return
	}
	policy, ok := schedulerPolicies[s.Policy]
	if !ok {
		c.err = fmt.Errorf("process.scheduler: unknown policy %q", s.Policy)
		return
	}
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, f := range s.Flags {
		bit, ok := schedulerFlags[f]
		if !ok {
			c.err = fmt.Errorf("process.scheduler: unknown flag %q", f)
			return
		}
		attr.Flags |= bit
	}
	c.p.Call("sched_setattr", string(s.Policy), unix.SYS_SCHED_SETATTR, 0, program.Keep(c.p, &attr), 0)
}

// ioClasses of ioprio_set(2).
var ioClasses = map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

func setIOPriority(c *compiler) {
	p := c.spec.Process.IOPriority
	class, ok := ioClasses[p.Class]
	if !ok || p.Priority < 0 || p.Priority > 7 {
		c.err = fmt.Errorf("process.ioPriority: class %q priority %d: want IOPRIO_CLASS_RT, BE or IDLE and 0 to 7", p.Class, p.Priority)
		return
	}
	const whoProcess, classShift = 1, 13
	c.p.Call("ioprio_set", fmt.Sprintf("%s %d", p.Class, p.Priority), unix.SYS_IOPRIO_SET, whoProcess, 0, class<<classShift|p.Priority)
}

// personalities of personality(2); the specification knows two.
var personalities = map[specs.LinuxPersonalityDomain]int{specs.PerLinux: 0, specs.PerLinux32: 8}

func setPersonality(c *compiler) {
	p := c.spec.Linux.Personality
	domain, ok := personalities[p.Domain]
	if !ok || len(p.Flags) > 0 {
		c.err = fmt.Errorf("linux.personality: domain %q with flags %v is not known", p.Domain, p.Flags)
		return
	}
	c.p.Call("personality", string(p.Domain), unix.SYS_PERSONALITY, domain)
	c.p.Call("personality", "read back", unix.SYS_PERSONALITY, int(^uint32(0))).Want(uintptr(domain))
}

// memoryModes and memoryFlags of set_mempolicy(2).
var memoryModes = map[specs.MemoryPolicyModeType]int{
	specs.MpolDefault: 0, specs.MpolPreferred: 1, specs.MpolBind: 2, specs.MpolInterleave: 3, specs.MpolLocal: 4,
	specs.MpolPreferredMany: 5, specs.MpolWeightedInterleave: 6,
}

var memoryFlags = map[specs.MemoryPolicyFlagType]int{
	specs.MpolFStaticNodes: 1 << 15, specs.MpolFRelativeNodes: 1 << 14, specs.MpolFNumaBalancing: 1 << 13,
}

func setMemoryPolicy(c *compiler) {
	p := c.spec.Linux.MemoryPolicy
	mode, ok := memoryModes[p.Mode]
	if !ok {
		c.err = fmt.Errorf("linux.memoryPolicy: unknown mode %q", p.Mode)
		return
	}
	for _, f := range p.Flags {
		bit, ok := memoryFlags[f]
		if !ok {
			c.err = fmt.Errorf("linux.memoryPolicy: unknown flag %q", f)
			return
		}
		mode |= bit
	}
	mask, highest, err := bitmap("nodes", p.Nodes)
	if err != nil {
		c.err = fmt.Errorf("linux.memoryPolicy: %w", err)
		return
	}
	if highest < 0 {
		c.p.Call("set_mempolicy", string(p.Mode), unix.SYS_SET_MEMPOLICY, mode, 0, 0)
		return
	}
	// The kernel reads one bit less than it is told (mm/mempolicy.c, get_nodes).
	c.p.Call("set_mempolicy", string(p.Mode)+" nodes="+p.Nodes, unix.SYS_SET_MEMPOLICY, mode, c.p.Bytes(mask), highest+2)
}

// bitmap turns "0-3,5" into the kernel's bitmap of unsigned longs.
func bitmap(what, list string) (mask []byte, highest int, err error) {
	const most = 1024
	words := make([]uint64, most/64)
	highest = -1
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 0 || b < a || b >= most {
			return nil, -1, fmt.Errorf("%s %q is not a list such as 0-3,5", what, list)
		}
		for n := a; n <= b; n++ {
			words[n/64] |= 1 << (n % 64)
			highest = max(highest, n)
		}
	}
	for _, w := range words {
		mask = binary.NativeEndian.AppendUint64(mask, w)
	}
	return mask, highest, nil
}

func newTime(l *Launch) bool { return l.hasNew(specs.TimeNamespace) }

// enterTimeNamespace makes the namespace, sets its offsets while it is empty
// (time_namespaces(7)) and moves into it.
func enterTimeNamespace(c *compiler) {
	c.p.Call("unshare", "CLONE_NEWTIME", unix.SYS_UNSHARE, unix.CLONE_NEWTIME)
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := c.spec.Linux.TimeOffsets[clock]; ok {
			c.writeProc("self/timens_offsets", fmt.Sprintf("%s %d %d", clock, o.Secs, o.Nanosecs))
		}
	}
	for clock := range c.spec.Linux.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			c.err = fmt.Errorf("linux.timeOffsets: %q is not a clock of time namespaces (monotonic, boottime)", clock)
		}
	}
	mark := c.p.Mark()
	fd := c.p.Reg()
	c.p.Call("openat", "proc/self/ns/time_for_children", unix.SYS_OPENAT, c.proc, c.p.Str("self/ns/time_for_children"), unix.O_RDONLY|unix.O_CLOEXEC, 0).Into(fd)
	c.p.Call("setns", "time", unix.SYS_SETNS, fd, unix.CLONE_NEWTIME)
	c.close(fd)
	c.p.Release(mark)
}
