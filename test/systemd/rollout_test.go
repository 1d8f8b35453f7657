// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rolled is a project of which each instance of one service has a number as its word.
func rolled(word, command string) string {
	return `
services:
  db: {rootfs: host, init: true, network_mode: none, environment: {WORD: ` + word + `}, command: [sleep, infinity]}
  web:
    rootfs: host
    network_mode: none
    environment: {WORD: ` + word + `}
    command: [sh, -c, 'trap exit TERM; ` + command + `']
    depends_on: {db: {condition: service_started, restart: true}}
    restart: always
    deploy: {replicas: 3, update_config: {monitor: 1s, delay: 500ms}}
`
}

// Of a service with several instances the others run while one is replaced, and go on
// as they were where it does not stay up.
func TestRollout(t *testing.T) {
	const runs = "while :; do sleep 0.1; done"
	webs := []string{"roll-web-1", "roll-web-2", "roll-web-3"}
	defineFor(t, "roll", rolled("a", runs), "roll.target", "roll-db.service", "roll-web-1.service", "roll-web-2.service", "roll-web-3.service")
	pids := func() (all []string) {
		for _, name := range webs {
			all = append(all, mainPID(t, name))
		}
		return all
	}
	at := func(name, what string) int {
		n, err := strconv.Atoi(property(t, name+".service", what))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	leavesNothing(t, func() {
		must(t, "systemctl", "start", "roll.target")

		// One after the other.
		before := pids()
		place(t, "/etc/unitc/roll.yaml", strings.ReplaceAll(rolled("b", runs), "init: true, network_mode: none, environment: {WORD: b}", "init: true, network_mode: none, environment: {WORD: a}"))
		if out, status := command(t, "unitc", "apply", "roll"); status != 0 || strings.Count(out, ": restarted\n") != 3 {
			t.Fatalf("%d\n%s", status, out)
		}
		for i, pid := range pids() {
			if pid == before[i] {
				t.Errorf("%s has not been restarted", webs[i])
			}
			if i == 0 {
				continue
			}
			up, next := at(webs[i-1], "ActiveEnterTimestampMonotonic"), at(webs[i], "InactiveExitTimestampMonotonic")
			if time.Duration(next-up)*time.Microsecond < 1500*time.Millisecond {
				t.Errorf("%s came %d µs behind %s", webs[i], next-up, webs[i-1])
			}
		}

		// One that does not stay up.
		before = pids()
		place(t, "/etc/unitc/roll.yaml", strings.ReplaceAll(rolled("c", "sleep 0.3; exit 3"), "init: true, network_mode: none, environment: {WORD: c}", "init: true, network_mode: none, environment: {WORD: a}"))
		out, status := command(t, "unitc", "apply", "roll")
		if status == 0 || !strings.Contains(out, "roll-web-1.service: it started and did not stay up") || !strings.Contains(out, "left as they are: roll-web-2, roll-web-3;") {
			t.Errorf("%d\n%s", status, out)
		}
		if now := pids(); now[1] != before[1] || now[2] != before[2] {
			t.Errorf("%q ran, now %q do", before, now)
		}

		// One that never becomes healthy, and which systemd starts again and again.
		sick := strings.ReplaceAll(rolled("s", runs), "init: true, network_mode: none, environment: {WORD: s}", "init: true, network_mode: none, environment: {WORD: a}")
		place(t, "/etc/unitc/roll.yaml", strings.ReplaceAll(sick, "restart: always", "restart: always\n    healthcheck: {test: [CMD, 'false'], interval: 100ms, retries: 1}"))
		must(t, "systemctl", "reset-failed", "roll-web-1.service")
		must(t, "systemctl", "start", "--no-block", "roll-web-1.service")
		out, status = command(t, "timeout", "60", "unitc", "apply", "roll-web-2", "roll-web-3")
		if status != 1 || !strings.Contains(out, "roll-web-2.service: it") || !strings.Contains(out, "left as they are: roll-web-3;") {
			t.Errorf("%d\n%s", status, out)
		}
		if now := pids(); now[2] != before[2] {
			t.Errorf("%q ran, now %q do", before, now)
		}

		// It goes on with what has not been replaced; what the restart of another has
		// restarted is not restarted twice.
		place(t, "/etc/unitc/roll.yaml", rolled("d", runs))
		must(t, "systemctl", "daemon-reload")
		must(t, "systemctl", "restart", "roll-web-1.service", "roll-web-2.service")
		must(t, "journalctl", "--sync")
		since := strings.TrimSpace(must(t, "date", "+%s.%N"))
		if out, status := command(t, "unitc", "apply", "roll"); status != 0 {
			t.Errorf("%d\n%s", status, out)
		}
		must(t, "journalctl", "--sync")
		for _, name := range webs {
			if env, err := os.ReadFile("/proc/" + mainPID(t, name) + "/environ"); err != nil || !strings.Contains(string(env), "\x00WORD=d\x00") {
				t.Errorf("%s has %q %v", name, env, err)
			}
			if n := strings.Count(must(t, "journalctl", "-q", "-o", "cat", "--since=@"+since, "-u", name), "Started "+name); n > 1 {
				t.Errorf("%s was started %d times", name, n)
			}
		}
		must(t, "systemctl", "stop", "roll.target")
	})
}
