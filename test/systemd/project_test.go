// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
)

const project = `services:
  web: {rootfs: host, init: true, command: [/bin/sleep, infinity]}
  db: {rootfs: host, init: true, command: [/bin/sleep, infinity]}
  broken: {rootfs: /srv/nowhere, command: [/bin/true]}
`

// A project's target starts, stops and restarts its services; nothing that
// happens to one of them reaches another.
func TestProjectTarget(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"blog.yaml", project)
	reload(t)
	states := func() string {
		return strings.Join([]string{property(t, "blog.target", "ActiveState"), property(t, "blog-web", "ActiveState"), property(t, "blog-db", "ActiveState")}, " ")
	}
	must(t, "systemctl", "start", "blog.target")
	t.Cleanup(func() { must(t, "systemctl", "reset-failed", "blog-broken") })
	if got := states(); got != "active active active" {
		t.Fatalf("after the start they are %s", got)
	}
	web, db := property(t, "blog-web", "InvocationID"), property(t, "blog-db", "InvocationID")
	must(t, "systemctl", "restart", "blog-db")
	if property(t, "blog-web", "InvocationID") != web || property(t, "blog-db", "InvocationID") == db {
		t.Error("restarting one service restarted another")
	}
	must(t, "systemctl", "restart", "blog.target")
	if property(t, "blog-web", "InvocationID") == web {
		t.Error("restarting the target did not restart its services")
	}
	must(t, "systemctl", "stop", "blog.target")
	if got := states(); strings.Contains(got, " active") {
		t.Errorf("after the stop they are %s", got)
	}
	// The target is stopped first, its services after it: join their jobs.
	must(t, "systemctl", "stop", "blog-web", "blog-db")
	// A service that was started by itself, at boot for instance.
	must(t, "systemctl", "start", "blog-web")
	must(t, "systemctl", "stop", "blog.target")
	if got := states(); strings.Contains(got, " active") {
		t.Errorf("after a stop of the inactive target they are %s", got)
	}
	must(t, "systemctl", "stop", "blog-web")
	tree := must(t, "systemctl", "list-dependencies", "--plain", "blog.target")
	for _, unit := range []string{"blog-web.service", "blog-db.service", "blog-broken.service"} {
		if !strings.Contains(tree, unit) {
			t.Errorf("%s is not in\n%s", unit, tree)
		}
	}
}

// A service with a fault is a failed unit that tells it. The others of its project start
// at boot, also where its profile is one that nobody has chosen.
func TestFaultOfOneService(t *testing.T) {
	cleanReload(t)
	const sleeps = "rootfs: host, init: true, command: [/bin/sleep, infinity], restart: always"
	place(t, definitions+"mixed.yaml", `services:
  web: {`+sleeps+`, depends_on: [typo]}
  db: {`+sleeps+`, networks: [back]}
  typo: {`+sleeps+`, enviroment: {A: b}}
  other: {`+sleeps+`, environment: ['A=${GONE:?set it}'], profiles: [never]}
  far: {`+sleeps+`, networks: [odd]}
networks: {back: {}, odd: {driver: overlay}}
`)
	reload(t)
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "mixed.target", "mixed-web", "mixed-db")
		command(t, "systemctl", "reset-failed", "mixed-typo", "mixed-other", "mixed-far")
	})
	wants := must(t, "systemctl", "show", "-P", "Wants", "multi-user.target")
	for unit, want := range map[string]bool{"mixed-web": true, "mixed-db": true, "mixed-typo": true, "mixed-other": false} {
		if strings.Contains(wants, unit+".service") != want {
			t.Errorf("multi-user.target wants %s: %v", unit, !want)
		}
	}
	must(t, "systemctl", "start", "mixed.target")
	for unit, want := range map[string]string{"mixed-web": "active", "mixed-db": "active", "mixed-typo": "failed", "mixed-far": "failed", "mixed-other": "inactive"} {
		if state := property(t, unit, "ActiveState"); state != want {
			t.Errorf("%s is %s, want %s", unit, state, want)
		}
	}
	status, _ := command(t, "systemctl", "status", "--no-pager", "mixed-typo")
	if !strings.Contains(status, "mixed.yaml:4") {
		t.Errorf("its status does not say where the fault is: %s", status)
	}
	if out, _ := command(t, "systemctl", "start", "mixed-other"); property(t, "mixed-other", "ActiveState") != "failed" {
		t.Errorf("the one of another profile is %s: %s", property(t, "mixed-other", "ActiveState"), out)
	}
	if out, status := command(t, "unitc", "check", definitions+"mixed.yaml"); status != 1 || !strings.Contains(out, "enviroment") || !strings.Contains(out, "set it") {
		t.Errorf("unitc check ends with %d: %s", status, out)
	}
	if out := must(t, "unitc", "plan", "mixed-db"); !strings.Contains(out, "sleep") {
		t.Errorf("the plan of a service without a fault: %s", out)
	}
	// `up` starts what it would start without the other profile, and says what that one lacks.
	place(t, "/srv/mixed-up/compose.yaml", "services:\n  web: {"+sleeps+"}\n  other: {"+sleeps+", user_ns: x, profiles: [never]}\n")
	t.Cleanup(func() { must(t, "unitc", "down", "mixed-up") })
	if out := must(t, "unitc", "up", "/srv/mixed-up/compose.yaml"); !strings.Contains(out, "user_ns") || property(t, "mixed-up-web", "ActiveState") != "active" {
		t.Errorf("web is %s after unitc up: %s", property(t, "mixed-up-web", "ActiveState"), out)
	}
	place(t, "/srv/mixed-up/compose.yaml", "services:\n  web: {"+sleeps+"}\n  other: {"+sleeps+", user_ns: x}\n")
	if out, status := command(t, "unitc", "up", "/srv/mixed-up/compose.yaml"); status == 0 {
		t.Errorf("unitc up of a file with a fault in what it starts: %s", out)
	}
}

// A service of several instances has as many units, and who depends on it waits
// for all of them.
func TestScale(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"farm.yaml", `services:
  worker: {rootfs: host, init: true, command: [/bin/sh, -c, 'echo I am $$(hostname); exec sleep infinity'], scale: 3}
  none: {rootfs: host, command: [/bin/true], restart: always, deploy: {replicas: 0}}
  boss: {rootfs: host, init: true, command: [/bin/sleep, infinity], depends_on: [worker]}
`)
	reload(t)
	must(t, "systemctl", "start", "farm-boss")
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "farm.target", "farm-boss", "farm-worker-1", "farm-worker-2", "farm-worker-3")
	})
	for _, name := range []string{"farm-worker-1", "farm-worker-2", "farm-worker-3"} {
		awaitLine(t, name, "I am "+name)
	}
	must(t, "systemctl", "start", "farm.target")
	if got := property(t, "farm-none", "ActiveState"); got != "inactive" {
		t.Errorf("a service without instances is %s", got)
	}
	must(t, "systemctl", "stop", "farm.target", "farm-worker-2")
	if got := property(t, "farm-worker-2", "ActiveState"); got != "inactive" {
		t.Errorf("after the stop of the target an instance is %s", got)
	}
}

// A timer is there with its service and starts it.
func TestTimer(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"backup.yaml", "rootfs: host\ncommand: [/bin/sleep, \"0.3\"]\nsystemd: {timer: {OnActiveSec: 1ms, AccuracySec: 1ms}}\n")
	reload(t)
	if unit := property(t, "backup.timer", "Unit"); unit != "backup.service" {
		t.Errorf("the timer starts %s", unit)
	}
	if wants := property(t, "timers.target", "Wants"); !strings.Contains(wants, "backup.timer") {
		t.Errorf("timers.target wants %s", wants)
	}
	must(t, "systemctl", "start", "backup.timer")
	t.Cleanup(func() { must(t, "systemctl", "stop", "backup.timer") })
	// The job's end is the event: wait joins the start that the timer made, or
	// makes one of its own if that is over.
	must(t, "systemctl", "start", "--wait", "backup.service")
	if result := property(t, "backup", "Result"); result != "success" {
		t.Errorf("the result is %s", result)
	}
	if last := property(t, "backup.timer", "LastTriggerUSec"); last == "" || last == "n/a" {
		t.Errorf("the timer was never due: %q", last)
	}
}
