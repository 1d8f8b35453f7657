// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// family is a first process with a child; both tell of the signal. The first
// one lives on for a second, so that a signal to the child would be told of.
const family = `rootfs: host
stop_signal: SIGUSR1
command:
  - sh
  - -c
  - |
    sh -c 'trap "echo child was signalled" USR1 TERM; echo child is up; while sleep 0.1; do :; done' &
    trap 'echo first was signalled; sleep 1; exit 7' USR1
    while :; do wait; done`

// "`systemctl stop` sends one stop signal to the payload's first process
// alone …; the exit code … in `systemctl show` [is] the payload's own."
func TestStopSignalsTheFirstProcessAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "family", family).start()
		c.awaitOutput("child is up")
		c.stop()
		c.awaitOutput("first was signalled")
		c.expect(c.unit(), "ExecMainCode=1", "ExecMainStatus=7")
		out := c.output()
		if strings.Count(out, "first was signalled") != 1 || strings.Contains(out, "child was signalled") {
			t.Errorf("the payload was signalled otherwise:\n%s", out)
		}
	})
}

// A stop of the scope by itself, as its own RuntimeMaxSec= makes one, ends the payload by its
// stop signal, too.
func TestStopOfTheScopeAlone(t *testing.T) {
	t.Parallel()
	const payload = "rootfs: host\nstop_grace_period: 1m\nstop_signal: %s\ncommand: [sh, -c, 'trap \"\" TERM; trap \"echo told; exit 0\" %d; echo up; while :; do sleep 0.1; done']\n"
	for number, signal := range map[int]string{10: "SIGUSR1", 37: "SIGRTMIN+3"} {
		c := scoped.define(t, fmt.Sprintf("scope-stop-%d", number), fmt.Sprintf(payload, signal, number)).start()
		c.awaitOutput("up")
		must(t, "systemctl", "stop", "unitc-"+c.name+".scope")
		c.await("ActiveState", "inactive")
		c.awaitOutput("told")
		c.expect(c.unit(), "Result=success", "ExecMainStatus=0")
	}
}

// stubborn ignores its stop signal.
const stubborn = `rootfs: host
stop_grace_period: 2s
command: [sh, -c, 'trap "" TERM; echo up; while :; do sleep 1; done']`

// "… waits its grace period, then kills; … [the] signal in `systemctl show`
// [is] the payload's own; stop of a payload that ignores the signal ends in
// time."
func TestStopKillsAfterTheGracePeriod(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "stubborn", stubborn).start()
		c.awaitOutput("up")
		begin := time.Now()
		c.stop()
		if spent := time.Since(begin); spent < 2*time.Second || spent > patience {
			t.Errorf("the stop took %v with a grace period of 2s", spent)
		}
		c.expect(c.unit(), "ExecMainCode=2", "ExecMainStatus=9", "Result=timeout", "ActiveState=failed")
	})
}

// "The exit code and signal in `systemctl show` are the payload's own."
func TestExitStatusIsThePayloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script, more string
		want               []string
	}{
		{"code", "sleep 0.5; exit 3", "", []string{"ExecMainCode=1", "ExecMainStatus=3", "Result=exit-code"}},
		// PID 1 of a namespace ignores what it has no handler for (pid_namespaces(7)).
		{"signal", "sleep 0.5; kill -ALRM $$$$", "\npid: host", []string{"ExecMainCode=2", "ExecMainStatus=14", "Result=signal"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p placement) {
				u := p.define(t, "exit-"+c.name, "rootfs: host\ncommand: [sh, -c, '"+c.script+"']"+c.more).start()
				u.await("ActiveState", "failed")
				u.expect(u.unit(), c.want...)
			})
		})
	}
}
