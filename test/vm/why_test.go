// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// What the kernel has said is found in the journal where its log has gone on since.
//
//lab:once
func TestWhyOfALoudKernel(t *testing.T) {
	const dir = "/run/systemd/system/unitc-postmortem.service.d"
	t.Cleanup(func() { os.RemoveAll(dir); run(t, "systemctl", "daemon-reload") })
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// More than any kernel here keeps. Each line has a writer of its own, as one alone
	// is held back.
	loud := `[Service]
ExecStart=
ExecStart=/usr/bin/perl -e 'system "journalctl", "--sync"; for (1 .. 1200) { open my $$k, ">", "/dev/kmsg" or die; syswrite $$k, "loud: " . "x" x 900 . "\n" }'
`
	if err := os.WriteFile(dir+"/loud.conf", []byte(loud), 0o644); err != nil {
		t.Fatal(err)
	}
	// One that works by now is loud before the end that this is about.
	run(t, "systemctl", "daemon-reload")
	await(t, "nobody looks into failures", func() bool {
		return strings.Contains(run(t, "systemctl", "show", "-p", "ActiveState", "unitc-postmortem.service"), "=inactive")
	})
	explained(t, map[string]explanation{
		"why-loud": {
			"mem_limit: 64m\ncommand: [perl, -e, 'sleep 1; $$x = \"x\" x (1 << 30); sleep 1000']",
			[]string{"killed: the memory limit of 64 MiB was hit", " of 64 MiB", "`mem_limit: 96m`"},
		},
	})
	if out := run(t, "dmesg"); strings.Contains(out, "unitc-why-loud.scope") {
		t.Error("the kernel has it yet: nothing is proved")
	}
}

// The kernel's log goes by the processor's own counter, and NTP has the monotonic clock
// run slower than that: by days of such a host an end is before what the kernel says of it.
//
//lab:once
func TestWhyWhereNTPHasSlowedTheClock(t *testing.T) {
	tick := func(us int64) {
		if _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_TICK, Tick: us}); err != nil {
			t.Fatal(err)
		}
	}
	ahead := func() time.Duration {
		var raw, monotonic unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &raw)
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic)
		return time.Duration(raw.Nano() - monotonic.Nano())
	}
	before := ahead()
	tick(9000)
	defer tick(10000)
	for deadline := time.Now().Add(2 * time.Minute); ahead() < max(before, 0)+2500*time.Millisecond; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the clocks differ by %v", ahead())
		}
	}
	explained(t, map[string]explanation{
		"why-slowed": {
			"mem_limit: 64m\ncommand: [perl, -e, 'sleep 1; $$x = \"x\" x (1 << 30); sleep 1000']",
			[]string{"killed: the memory limit of 64 MiB was hit", " of 64 MiB"},
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
