// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/journal/lookup"
	"github.com/unitc/unitc/internal/plan"
)

// journald takes apart what others than the kernel have written to its log.
func TestKernelRecords(t *testing.T) {
	records, err := lookup.Parse([]byte(`{"SYSLOG_IDENTIFIER":"kernel","MESSAGE":"memory: usage 65500kB, limit 65536kB, failcnt 33"}
{"SYSLOG_IDENTIFIER":"kernel","MESSAGE":"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/unitc.slice/unitc-web.scope,task_memcg=/x"}
{"SYSLOG_IDENTIFIER":"cgroup","MESSAGE":"fork rejected by pids controller in /unitc.slice/unitc-web.scope"}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Duration
		want findings
	}{
		{time.Minute, findings{oom: true, limit: "65536", peak: "65500", pids: true}},
		{29 * time.Second, findings{}},
		{62 * time.Second, findings{}},
		{3 * time.Minute, findings{oom: true, limit: "65536", peak: "65500", pids: true}}, // by the other clock
	} {
		s := &kernelSearch{plan: &plan.Plan{}, group: "unitc-web.scope", ends: [2]time.Duration{time.Minute, 3 * time.Minute}}
		for _, r := range records {
			s.look(c.at, kernelText(r))
		}
		if s.found != c.want {
			t.Errorf("at %v: %+v", c.at, s.found)
		}
	}
}

// A denial of another process on the host is not this container's.
func TestSpeaksOf(t *testing.T) {
	own := &plan.Plan{Spec: &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{HostID: 655360, Size: 65536}}}}}
	host := &plan.Plan{Spec: &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}}
	labelled := &plan.Plan{Spec: &specs.Spec{Process: &specs.Process{SelinuxLabel: "system_u:system_r:container_t:s0:c1,c2"}, Linux: &specs.Linux{}}}
	profiled := &plan.Plan{Spec: &specs.Spec{Process: &specs.Process{ApparmorProfile: "unitc-default"}, Linux: &specs.Linux{}}}
	for _, c := range []struct {
		p      *plan.Plan
		record string
		want   bool
	}{
		{own, `audit: type=1326 audit(1.2:3): auid=4294967295 uid=655361 gid=655360 ses=1 pid=5 comm="x" sig=31 arch=c000003e syscall=83 compat=0`, true},
		{own, `audit: type=1326 audit(1.2:3): auid=4294967295 uid=0 gid=0 ses=1 pid=5 comm="x" sig=31 arch=c000003e syscall=83 compat=0`, false},
		{own, `audit: type=1326 audit(1.2:3): auid=655361 uid=720896 gid=0 ses=1`, false},
		{host, `audit: type=1326 audit(1.2:3): auid=4294967295 uid=0 gid=0 ses=1`, true},
		{own, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="p" name="/x" pid=5 comm="x" fsuid=655360 ouid=0`, true},
		{own, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="p" name="/x" pid=5 comm="x" fsuid=1000 ouid=0`, false},
		{own, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="ptrace" profile="p"`, true},
		{profiled, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="mount" profile="unitc-default" name="/mnt/"`, true},
		{profiled, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="mount" profile="unitc-default//child" name="/mnt/"`, true},
		{profiled, `audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="mount" profile="snap.other" name="/mnt/"`, false},
		{labelled, `avc:  denied  { read } for  pid=5 comm="x" scontext=system_u:system_r:container_t:s0:c1,c2 tcontext=x tclass=file`, true},
		{labelled, `avc:  denied  { read } for  pid=5 comm="x" scontext=system_u:system_r:container_t:s0:c1,c3 tcontext=x tclass=file`, false},
		{&plan.Plan{}, "whatever", true},
	} {
		if got := speaksOf(c.record, c.p); got != c.want {
			t.Errorf("%s: %v", c.record, got)
		}
	}
}
