// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/plan"
)

func TestRefusalOfASecurityModule(t *testing.T) {
	for record, want := range map[string][2]string{
		`audit: type=1400 audit(1.0:1): apparmor="DENIED" operation="open" class="file" profile="web" name="/secret" pid=1 comm="sh" requested_mask="r" denied_mask="r" fsuid=5 ouid=0`: {"AppArmor's profile web refused open of /secret", "(`/secret r,`)"},
		`audit: type=1400 audit(1.0:1): apparmor="DENIED" operation="capable" profile="web" pid=1 comm="sh" capability=21  capname="sys_admin"`:                                         {"AppArmor's profile web refused capable", "apparmor=PROFILE"},
		`audit: type=1400 audit(1.0:1): apparmor="DENIED" operation="open" profile="web" name=2F612062 pid=1`:                                                                           {"AppArmor's profile web refused open", "in the profile, or"},
		`audit: type=1400 audit(1.0:1): avc:  denied  { read open } for  pid=5 comm="x" name="shadow" dev="vda1" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=file permissive=0`:          {"SELinux refused read open of a file named shadow", ":Z"},
		`audit: type=1400 audit(1.0:1): apparmor="STATUS" operation="profile_load" profile="unconfined" name="web"`:                                                                     {"", ""},
	} {
		what, cure := refusal(record)
		if what != want[0] || !strings.Contains(cure, want[1]) || want[1] == "" && cure != "" {
			t.Errorf("%s\ngives %q and %q", record, what, cure)
		}
	}
}

// It explains an end that nothing else explains.
func TestRefusalExplainsADeath(t *testing.T) {
	record := `apparmor="DENIED" operation="open" profile="web" name="/secret" requested_mask="r"`
	d := &death{code: "exited", status: "13", found: findings{denied: record}}
	if d.explain(); d.cause != "exited with status 13; AppArmor's profile web refused open of /secret" || d.cure == "" {
		t.Errorf("%q, %q", d.cause, d.cure)
	}
	d = &death{code: "killed", status: "KILL", found: findings{denied: record, oom: true, limit: "1024"}}
	if d.explain(); strings.Contains(d.cause, "AppArmor") {
		t.Errorf("it was killed for its memory: %q", d.cause)
	}
}

// What the kernel kills for want of memory beside the payload, and what systemd could
// not start, have a cure too.
func TestStarvedBesideThePayload(t *testing.T) {
	scope := &plan.Plan{Unit: "web.service", Scope: &plan.Scope{Name: "unitc-web.scope"}}
	for want, d := range map[string]death{
		"killed: the kernel had no memory left for what unitc runs in the service|MemoryMax= of a drop-in": {plan: scope, result: "oom-kill", code: "killed", status: "KILL"},
		"killed: the kernel had no memory left for it|the host's, or a slice's":                            {plan: &plan.Plan{Unit: "web.service"}, result: "oom-kill", code: "killed", status: "KILL"},
		"its limit on processes kept it from starting more|raise `pids_limit:`": {plan: &plan.Plan{Unit: "web.service"}, result: "exit-code", code: "exited", status: "233",
			lines: "web.service: Failed at step RUNTIME_DIRECTORY spawning /x: Resource temporarily unavailable", found: findings{pids: true}},
		"exited with status 217, as a launch does that has failed|": {plan: scope, result: "exit-code", code: "exited", status: "217", lines: "web.yaml:1:1: error: x", found: findings{pids: true}},
	} {
		cause, cure, _ := strings.Cut(want, "|")
		if d.explain(); !strings.Contains(d.cause, cause) || !strings.Contains(d.cure, cure) || cure == "" && d.cure != "" {
			t.Errorf("%s: %s; %s", want, d.cause, d.cure)
		}
	}
}
