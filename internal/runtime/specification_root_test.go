// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

func init() {
	probes["ioprio"] = func(string) string {
		const whoProcess = 1
		n, _, e := syscall.RawSyscall(unix.SYS_IOPRIO_GET, whoProcess, 0, 0)
		return fmt.Sprint(n>>13, " ", n&7, outcomeIf(errnoOrNil(e)))
	}
	probes["mempolicy"] = func(string) string {
		var mode int32
		nodes := make([]uint64, 16)
		_, _, e := syscall.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&nodes[0])), 1024, 0, 0, 0)
		return fmt.Sprint(mode, " ", nodes[0], outcomeIf(errnoOrNil(e)))
	}
}

// All five sets of capabilities, the ambient one among them, as they are asked
// for: by a process that is not root.
func TestFiveCapabilitySets(t *testing.T) {
	for _, userns := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode, c.service.User = userns, "1000:1000"
		c.spec = func(p *plan.Plan) {
			p.Spec.Process.Capabilities = &specs.LinuxCapabilities{
				Bounding: []string{"CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_FOWNER"}, Permitted: []string{"CAP_KILL", "CAP_CHOWN", "CAP_SETUID"},
				Inheritable: []string{"CAP_KILL", "CAP_CHOWN"}, Ambient: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL", "CAP_CHOWN"},
			}
		}
		// What execve(2) makes of them for a program without capabilities of its own:
		// the ambient ones are permitted and effective.
		c.look(map[string]string{
			"status=CapBnd": "00000000000000a9", "status=CapInh": "0000000000000021", "status=CapAmb": "0000000000000020",
			"status=CapPrm": "0000000000000020", "status=CapEff": "0000000000000020", "ids": "1000 1000 []",
		})
	}
}

// What the kernel keeps of a process, read by itself.
func TestProcessAttributes(t *testing.T) {
	c := newContainer(t)
	c.service.Hostname, c.service.Domainname = "box", "example.org"
	c.service.SecurityOpt = []string{"seccomp=unconfined"} // get_mempolicy
	c.service.GroupAdd = []string{"7", "9"}
	names := map[string]string{
		"RLIMIT_CPU": "Max cpu time", "RLIMIT_FSIZE": "Max file size", "RLIMIT_DATA": "Max data size", "RLIMIT_STACK": "Max stack size", "RLIMIT_CORE": "Max core file size",
		"RLIMIT_RSS": "Max resident set", "RLIMIT_NOFILE": "Max open files", "RLIMIT_MEMLOCK": "Max locked memory", "RLIMIT_AS": "Max address space", "RLIMIT_LOCKS": "Max file locks",
		"RLIMIT_SIGPENDING": "Max pending signals", "RLIMIT_MSGQUEUE": "Max msgqueue size", "RLIMIT_NICE": "Max nice priority", "RLIMIT_RTPRIO": "Max realtime priority",
		"RLIMIT_RTTIME": "Max realtime timeout", "RLIMIT_NPROC": "Max processes",
	}
	want := map[string][2]uint64{}
	c.spec = func(p *plan.Plan) {
		p.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		p.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
		p.Spec.Process.Rlimits = nil
		for name, nr := range rlimits {
			var l unix.Rlimit
			must(t, unix.Getrlimit(nr, &l))
			want[name] = [2]uint64{min(l.Max, 1<<41) / 2, min(l.Max, 1<<41)}
			p.Spec.Process.Rlimits = append(p.Spec.Process.Rlimits, specs.POSIXRlimit{Type: name, Soft: want[name][0], Hard: want[name][1]})
		}
	}
	c.look(map[string]string{
		"ioprio": "2 6", "mempolicy": "2 1", "hostname": "box", "read=/proc/sys/kernel/domainname": "example.org\n", "ids": "0 0 [7 9]",
		"status=Cpus_allowed_list": hostStatus(t, "Cpus_allowed_list"),
	})
	limits := c.run("read=/proc/self/limits")["read=/proc/self/limits"]
	for name, text := range names {
		for line := range strings.Lines(limits) {
			if !strings.HasPrefix(line, text) {
				continue
			}
			f := strings.Fields(strings.TrimPrefix(line, text))
			if f[0] == "set" {
				f = f[1:]
			}
			if name == "RLIMIT_NOFILE" {
				f[0] = fmt.Sprint(want[name][0]) // Go's runtime raises its own
			}
			if f[0] != fmt.Sprint(want[name][0]) || f[1] != fmt.Sprint(want[name][1]) {
				t.Errorf("%s is %v, want %v", name, f, want[name])
			}
		}
	}
	if len(names) != len(rlimits) {
		t.Errorf("%d limits are looked at, there are %d", len(names), len(rlimits))
	}
}

func hostStatus(t *testing.T, name string) string {
	t.Helper()
	v := statusField(name)
	if v == "absent" {
		t.Fatalf("/proc/self/status has no %s", name)
	}
	return v
}

// The processors of a process that joins (runtime-spec, process.execCPUAffinity).
func TestExecAffinity(t *testing.T) {
	c := newContainer(t)
	h := c.hold()
	all := hostStatus(t, "Cpus_allowed_list")
	for _, test := range []struct{ initial, final, want string }{
		{"0", "0", "0"}, {"0", "", all}, {"", "0", "0"}, {"", "", all},
	} {
		p := h.process()
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: test.initial, Final: test.final}
		got, err := h.probe(ExecConfig{Process: p}, "status=Cpus_allowed_list")
		must(t, err)
		if got["status=Cpus_allowed_list"] != test.want {
			t.Errorf("initial %q, final %q: runs on %s, want %s", test.initial, test.final, got["status=Cpus_allowed_list"], test.want)
		}
	}
	if now := hostStatus(t, "Cpus_allowed_list"); now != all {
		t.Errorf("this process runs on %s now", now)
	}
	for _, bad := range []specs.CPUAffinity{{Initial: "x"}, {Final: "3-1"}, {Final: "1023"}, {Initial: "-1"}} {
		p := h.process()
		p.ExecCPUAffinity = &bad
		if _, err := h.probe(ExecConfig{Process: p}, "pid"); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// The memory policy is the container's: of who joins it as well, as its personality.
func TestExecMemoryPolicy(t *testing.T) {
	c := newContainer(t)
	c.service.SecurityOpt = []string{"seccomp=unconfined"} // get_mempolicy
	c.spec = func(p *plan.Plan) {
		p.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
		p.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	}
	h := c.hold("mempolicy", "machine")
	seen, err := h.probe(ExecConfig{}, "mempolicy", "machine")
	must(t, err)
	expect(t, seen, map[string]string{"mempolicy": "2 1", "machine": machine32})
}

var machine32 = map[string]string{"amd64": "i686", "arm64": "armv8l"}[goruntime.GOARCH]

// What the kernel would cut, or pass over with the policy that is asked for.
func TestSchedulersThatSayTooMuch(t *testing.T) {
	for what, s := range map[string]specs.Scheduler{
		"nice 20":         {Policy: specs.SchedOther, Nice: 20},
		"nice 5 says not": {Policy: specs.SchedRR, Priority: 1, Nice: 5},
		"runtime, deadl":  {Policy: specs.SchedBatch, Runtime: 5},
		"runtime, deadli": {Policy: specs.SchedFIFO, Priority: 1, Period: 5},
		"sched_setattr S": {Policy: specs.SchedOther, Priority: 5},
		"sched_setattr":   {Policy: specs.SchedRR, Priority: -1},
	} {
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload"}
		c.spec = func(p *plan.Plan) { p.Spec.Process.Scheduler = &s }
		if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v: %s", s, err, out)
		}
	}
	h := newContainer(t).hold()
	p := h.process()
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: -21}
	if _, err := h.probe(ExecConfig{Process: p}, "pid"); err == nil || !strings.Contains(err.Error(), "nice -21") {
		t.Errorf("who joins: %v", err)
	}
}
