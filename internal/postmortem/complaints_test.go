// SPDX-License-Identifier: Apache-2.0

package postmortem

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/plan"
)

// Lines that daemons of Debian's packages have written, and the key that each is told.
func TestComplaints(t *testing.T) {
	p := &plan.Plan{Unit: "web.service", Spec: &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_NET_RAW"}}},
		Linux:   &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{Size: 1}}},
	}}
	for line, want := range map[string]string{
		"named: chroot(): Operation not permitted":                                             "[SYS_CHROOT]",
		"[ALERT]    (3) : [haproxy.main()] Cannot chroot(/var/lib/haproxy).":                   "[SYS_CHROOT]",
		"postfix/pickup[165]: fatal: chroot(/var/spool/postfix): Operation not permitted":      "[SYS_CHROOT]",
		`chroot("/run/sshd"): Operation not permitted [preauth]`:                               "[SYS_CHROOT]",
		"dnsmasq: process is missing required capability NET_ADMIN":                            "[NET_ADMIN]",
		"2026-11-23T19:31:28Z CAP_SYS_TIME not present":                                        "`userns_mode: host`",
		"cap_set_proc() failed: Operation not permitted":                                       "`cap_add:`",
		"logger: socket /dev/log: No such file or directory":                                   "standard output",
		`sudo: The "no new privileges" flag is set, which prevents sudo from running as root.`: "no-new-privileges=false",
		"strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted":                         "[SYS_PTRACE]",
		"mlockall failed: needs CAP_IPC_LOCK, which is missing":                                "memlock",
		"sh: 1: cannot create /data/f: Read-only file system":                                  "`:ro`",
		"OSError: [Errno 30] Read-only file system: '/srv/x'":                                  "`tmpfs:`",
		"listen tcp 0.0.0.0:80: bind: address already in use":                                  "another port",
		"changed root directory to /run with chroot":                                           "",
		"could not open a raw socket":                                                          "", // it has NET_RAW
		"failed to amount to anything":                                                         "",
		"CAP_CHOWN not present":                                                                "", // it has it
		"could not read CAP_NOTHING":                                                           "",
	} {
		if _, cure := complaintOf([]string{"first", line, "last"}, p); !strings.Contains(cure, want) || want == "" && cure != "" {
			t.Errorf("%s\ngives %q, want %q", line, cure, want)
		}
	}
	for _, line := range []string{"xeyes: Error: Can't open display: :0", "multipathd: connect: Operation not permitted"} {
		if _, cure := complaintOf([]string{line}, p); cure != "" {
			t.Errorf("%s\ngives %q where nothing keeps it from sockets", line, cure)
		}
		scoped := *p
		if scoped.ScopeSockets = true; !strings.Contains(second(complaintOf([]string{line}, &scoped)), "[landlock=unconfined]") {
			t.Errorf("%s\ngives no key", line)
		}
	}
	for probe, want := range map[string]string{"unhealthy: no end in 2s, 3 of 3": "`timeout:`", "unhealthy: exit status 1, 3 of 3": ""} {
		d := &death{plan: p, result: "watchdog", probe: probe}
		if d.explain(); d.cause != probe || !strings.Contains(d.cure, want) || want == "" && d.cure != "" {
			t.Errorf("%q, %q", d.cause, d.cure)
		}
	}
	d := &death{plan: p, result: "exit-code", code: "exited", status: "1", lines: "named: chroot(): Operation not permitted"}
	if d.explain(); d.cause != "exited with status 1" || !strings.HasPrefix(d.cure, "if it is for the chroot that its last lines speak of: write `cap_add: [SYS_CHROOT]`") {
		t.Errorf("%q, %q", d.cause, d.cure)
	}
}

func second(_, cure string) string { return cure }

// A stop that systemd takes for a failure is told with what to write.
func TestStopThatFailed(t *testing.T) {
	for want, d := range map[string]death{
		"it did not stop within|`init: true`":             {plan: &plan.Plan{}, asked: true, result: "timeout", code: "killed", status: "KILL"},
		"took longer than systemd waits|":                 {plan: &plan.Plan{}, result: "timeout", code: "killed", status: "KILL"},
		"took longer than systemd waits for a start |":    {plan: &plan.Plan{Init: true}, asked: true, result: "timeout", code: "killed", status: "KILL"},
		"status 2 when it was told to stop|`init: true`":  {plan: &plan.Plan{}, asked: true, result: "exit-code", code: "exited", status: "2"},
		"status 111 when it was|{SuccessExitStatus: 111}": {plan: &plan.Plan{}, asked: true, result: "exit-code", code: "exited", status: "111"},
		"exited with status 2|":                           {plan: &plan.Plan{}, result: "exit-code", code: "exited", status: "2"},
	} {
		cause, cure, _ := strings.Cut(want, "|")
		if d.explain(); !strings.Contains(d.cause, cause) || !strings.Contains(d.cure, cure) || cure == "" && d.cure != "" {
			t.Errorf("%s: %s; %s", want, d.cause, d.cure)
		}
	}
}
