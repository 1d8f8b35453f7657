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
	explained(t, map[string]explanation{
		"why-pids": {
			"pids_limit: 20\ncommand: [perl, -e, 'while (1) { my $$p = fork; exit 9 if !defined $$p; sleep 100 if !$$p }']",
			[]string{"its limit on processes kept it from starting more", "`pids_limit: 40`"},
		},
		"why-memory": {
			"mem_limit: 64m\ncommand: [perl, -e, 'sleep 1; $$x = \"x\" x (1 << 30); sleep 1000']",
			[]string{"killed: the memory limit of 64 MiB was hit", " of 64 MiB", "`mem_limit: 96m`"},
		},
		"why-seccomp": {
			"tmpfs: [/tmp]\nsecurity_opt: [seccomp=" + profile + "]\ncommand: [sh, -c, 'sleep 1; exec mkdir /tmp/x']",
			[]string{"a system call that its seccomp profile answers with death", "the kernel names it: syscall="},
		},
	})
}

// explanation is what `unitc why` is to say of the end of a definition's payload.
type explanation struct {
	text string
	want []string
}

func explained(t *testing.T, cases map[string]explanation) {
	t.Helper()
	var definitions []definition
	var wants [][]string
	for name, e := range cases {
		definitions, wants = append(definitions, definition{name, "scope", "rootfs: host\n" + e.text + "\n"}), append(wants, e.want)
	}
	for i, c := range place(t, definitions...) {
		t.Run(definitions[i].name, func(t *testing.T) {
			c.start(t)
			c.says(wants[i])
		})
	}
}

// says waits for the end of a container and looks at why.
func (c *container) says(want []string) {
	c.t.Helper()
	c.awaitFailure()
	out := run(c.t, "unitc", "why", c.name)
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("unitc why does not say %q:\n%s", w, out)
		}
	}
}
