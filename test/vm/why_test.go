// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"strings"
	"testing"
)

// "OOM with limit and peak, pids limit, seccomp denial from the kernel log": here
// the kernel has the controllers and writes audit records.
func TestWhyAsTheKernelSays(t *testing.T) {
	const profile = "/run/mkdir-is-death.json"
	err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		definition string
		want       []string
	}{
		"pids": {
			"pids_limit: 20\ncommand: [perl, -e, 'while (1) { my $$p = fork; exit 9 if !defined $$p; sleep 100 if !$$p }']",
			[]string{"its limit on processes kept it from starting more", "`pids_limit: 40`"},
		},
		"memory": {
			"mem_limit: 64m\ncommand: [perl, -e, 'sleep 1; $$x = \"x\" x (1 << 30); sleep 1000']",
			[]string{"killed: the memory limit of 64 MiB was hit", " of 64 MiB", "`mem_limit: 96m`"},
		},
		"seccomp": {
			"tmpfs: [/tmp]\nsecurity_opt: [seccomp=" + profile + "]\ncommand: [sh, -c, 'sleep 1; exec mkdir /tmp/x']",
			[]string{"a system call that its seccomp profile answers with death", "the kernel names it: syscall="},
		},
	} {
		t.Run(name, func(t *testing.T) {
			define(t, "why-"+name, "scope", "rootfs: host\n"+c.definition+"\n").says(c.want)
		})
	}
}

// says waits for the end of a container and looks at why.
func (c *container) says(want []string) {
	c.t.Helper()
	await(c.t, c.name+" has failed", func() bool { return c.show("ActiveState") == "failed" })
	out := run(c.t, "unitc", "why", c.name)
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("unitc why does not say %q:\n%s", w, out)
		}
	}
}
