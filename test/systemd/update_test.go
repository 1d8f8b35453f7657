// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// An update restarts what runs an older image; one that does not stay up is
// gone back from, shows as a failed unit, and what needs the container is there
// all the time but for the restarts.
func TestUpdate(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	name := r.offer(t, "app:1", saying("version one"))
	place(t, definitions+"app.yaml", "image: "+name+"\ninit: true\nx-update: registry\n")
	place(t, "/run/systemd/system/needs-app.service", "[Unit]\nRequires=app.service\nAfter=app.service\n[Service]\nExecStart=/bin/sleep infinity\n")
	place(t, "/run/systemd/system/unitc-update.service.d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/unitc update --settle 2s\n")
	t.Cleanup(func() { must(t, "rm", "-rf", "/run/systemd/system/unitc-update.service.d") })
	reload(t)
	t.Cleanup(func() {
		command(t, "systemctl", "stop", "app", "needs-app", "unitc-update.timer")
		command(t, "systemctl", "reset-failed")
	})
	must(t, "systemctl", "start", "needs-app")
	awaitLine(t, "app", "version one")
	if wants := property(t, "timers.target", "Wants"); !strings.Contains(wants, "unitc-update.timer") {
		t.Errorf("timers.target wants %s", wants)
	}
	runs := func(words string) {
		t.Helper()
		awaitLine(t, "app", words)
		for _, unit := range []string{"app", "needs-app"} {
			if got := property(t, unit, "ActiveState"); got != "active" {
				t.Errorf("%s is %s", unit, got)
			}
		}
	}

	if wants := property(t, "multi-user.target", "Wants"); !strings.Contains(wants, "unitc-update-resume.service") {
		t.Errorf("multi-user.target wants %s", wants)
	}
	if out := must(t, "unitc", "update", "app"); !strings.Contains(out, "up to date") {
		t.Errorf("the first update says %s", out)
	}
	r.offer(t, "app:1", saying("version two"))
	if out := must(t, "unitc", "update", "--dry-run"); !strings.Contains(out, "app.service: newer image") {
		t.Errorf("the dry run says %s", out)
	}
	runs("version one")
	must(t, "systemctl", "start", "unitc-update")
	runs("version two")

	r.offer(t, "app:1", `{"Cmd": ["/bin/sh", "-c", "echo version three is broken; exit 1"]}`)
	if _, status := command(t, "systemctl", "start", "unitc-update"); status == 0 {
		t.Error("an update that failed succeeded")
	}
	runs("version two")
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "app"); !strings.Contains(out, "version three is broken") {
		t.Error("the broken version was never tried")
	}
	if out := must(t, "systemctl", "list-units", "--failed", "--plain", "--no-legend"); !strings.Contains(out, "unitc-update.service") || strings.Contains(out, "app") {
		t.Errorf("failed units are\n%s", out)
	}
	before := property(t, "app", "InvocationID")
	if out, status := command(t, "unitc", "update"); status != 1 || !strings.Contains(out, "rejected") || property(t, "app", "InvocationID") != before {
		t.Errorf("the broken version was tried again: %d, %s", status, out)
	}

	r.offer(t, "app:1", saying("version four"))
	must(t, "systemctl", "start", "unitc-update")
	runs("version four")
	must(t, "unitc", "rollback", "--settle", "200ms", "app")
	runs("version two")

	// Of a project those are meant that have x-update.
	place(t, definitions+"pair.yaml", "services:\n  a: {image: "+name+", init: true, x-update: registry}\n  b: {rootfs: host, init: true, command: [sleep, infinity]}\n")
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "pair-a", "pair-b") })
	must(t, "systemctl", "start", "pair-a", "pair-b")
	if out, status := command(t, "unitc", "update", "--dry-run", "--retry", "pair"); status != 0 || !strings.Contains(out, "pair-a.service: newer image") || strings.Contains(out, "pair-b") {
		t.Errorf("an update of a project: %d, %s", status, out)
	}
}

// An update that is killed while it watches an image that does not stay up is
// followed by another one, which goes back from that.
//
//lab:once
func TestUpdateThatIsKilled(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	killed := fresh("killed")
	name := r.offer(t, killed+":1", saying("version one"))
	place(t, definitions+killed+".yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\nx-update: registry\n")
	reload(t)
	t.Cleanup(func() {
		command(t, "systemctl", "stop", killed, "unitc-update.timer")
		command(t, "systemctl", "reset-failed")
	})
	must(t, "systemctl", "start", killed)
	awaitLine(t, killed, "version one")
	r.offer(t, killed+":1", `{"Cmd": ["/bin/sh", "-c", "echo version two is broken; sleep 2; exit 1"]}`)
	must(t, "systemctl", "start", "--no-block", "unitc-update")
	awaitLine(t, killed, "version two is broken")
	must(t, "systemctl", "kill", "-s", "KILL", "unitc-update")
	await(t, "it is gone back", func() bool {
		return strings.Count(must(t, "journalctl", "-q", "-o", "cat", "-u", killed), "version one\n") == 2 && property(t, killed, "ActiveState") == "active"
	})
	await(t, "the update is over", func() bool { return property(t, "unitc-update", "ActiveState") == "failed" })
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "unitc-update"); !strings.Contains(out, killed+".service: rolled back") {
		t.Errorf("it says %s", out)
	}
}

// The timer ends without a fault when the last definition that asks for it has gone.
//
//lab:once
func TestUpdateThatNobodyAsksFor(t *testing.T) {
	defineFor(t, "asks-not", "image: localhost/asks-not:1\nx-update: local\n", "unitc-update.timer")
	must(t, "systemctl", "start", "unitc-update.timer")
	writeFile(t, definitions+"asks-not.yaml", "image: localhost/asks-not:1\n")
	reload(t)
	if state := property(t, "unitc-update.timer", "ActiveState"); state != "active" {
		t.Errorf("the timer is %s", state)
	}
	if wants := property(t, "timers.target", "Wants"); strings.Contains(wants, "unitc-update.timer") {
		t.Errorf("timers.target wants %s", wants)
	}
}

// With x-update: fetch the timer's run brings a newer image and restarts nothing,
// a restart has the image of before, and a name brings what was fetched without
// the registry. With check it only says so.
//
//lab:once
func TestUpdateByHand(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	for _, level := range []string{"fetch", "check"} {
		name := r.offer(t, level+":1", saying("version one of "+level))
		place(t, definitions+level+".yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\nx-update: "+level+"\n")
	}
	reload(t)
	t.Cleanup(func() { command(t, "systemctl", "stop", "fetch", "check", "unitc-update.timer") })
	must(t, "systemctl", "start", "fetch", "check")
	for _, level := range []string{"fetch", "check"} {
		awaitLine(t, level, "version one of "+level)
		r.offer(t, level+":1", saying("version two of "+level))
	}
	must(t, "systemctl", "start", "unitc-update")
	said := must(t, "journalctl", "-q", "-o", "cat", "-u", "unitc-update")
	for _, want := range []string{"fetch.service: newer image fetched (", "check.service: newer image (", "`unitc update check` brings it"} {
		if !strings.Contains(said, want) {
			t.Errorf("the timer's service says %s; want %q in it", said, want)
		}
	}
	must(t, "unitc", "prune")
	must(t, "systemctl", "restart", "fetch")
	await(t, "the first version runs again", func() bool {
		return strings.Count(must(t, "journalctl", "-q", "-o", "cat", "-u", "fetch"), "version one of fetch\n") == 2
	})
	r.count("manifests")
	if out := must(t, "unitc", "update", "--settle", "200ms", "fetch"); !strings.Contains(out, "fetch.service: updated") {
		t.Errorf("an update by name says %s", out)
	}
	awaitLine(t, "fetch", "version two of fetch")
	if n := r.count("manifests"); n > 0 {
		t.Errorf("what was here was asked for %d times", n)
	}
	must(t, "unitc", "rollback", "--settle", "200ms", "fetch")
	must(t, "unitc", "update", "--settle", "200ms", "check")
	awaitLine(t, "check", "version two of check")
}

// An end with success is none of an update to a service that is to run, however
// long systemd waits before it starts it again. One that may end is named.
func TestUpdateToOneThatEnds(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	const ends = `{"Cmd": ["/bin/sh", "-c", "echo version two; exit 0"]}`
	for unit, policy := range map[string]string{"ends-runs": "always", "ends-may": "on-failure"} {
		name := r.offer(t, unit+":1", saying("version one"))
		place(t, definitions+unit+".yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\nx-update: registry\nrestart: "+policy+"\nsystemd: {service: {RestartSec: 1min}}\n")
	}
	reload(t)
	t.Cleanup(func() { command(t, "systemctl", "stop", "ends-runs", "ends-may", "unitc-update.timer") })
	must(t, "systemctl", "start", "ends-runs", "ends-may")
	for unit, want := range map[string]string{"ends-runs": "rolled back", "ends-may": "updated"} {
		awaitLine(t, unit, "version one")
		r.offer(t, unit+":1", ends)
		out, status := command(t, "unitc", "update", "--settle", "2s", unit)
		if !strings.Contains(out, unit+".service: "+want) || (status == 0) != (want == "updated") || strings.Contains(out, "ended with success since: "+unit) != (want == "updated") {
			t.Errorf("%d, %s", status, out)
		}
	}
	if got := property(t, "ends-runs", "ActiveState"); got != "active" {
		t.Errorf("it is %s", got)
	}
}

// systemd begins anew in the middle of an update, as when its own package is
// updated: the update goes on, and says nothing bad of the image.
func TestUpdateWhileSystemdBeginsAnew(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	// Each start takes a while.
	slow := func(words string) string {
		return `{"Cmd": ["/bin/sh", "-c", "echo ` + words + `; exec sleep infinity"], "Healthcheck": {"Test": ["CMD", "/bin/sleep", "1"], "Interval": 100000000}}`
	}
	name := r.offer(t, "anew:1", slow("version one"))
	place(t, definitions+"anew.yaml", "image: "+name+"\ninit: true\nnetwork_mode: none\nx-update: registry\n")
	reload(t)
	t.Cleanup(func() { command(t, "systemctl", "stop", "anew", "unitc-update.timer") })
	must(t, "systemctl", "start", "anew")
	awaitLine(t, "anew", "version one")
	for words, when := range map[string]string{"version two": "activating", "version three": "active"} {
		before := property(t, "anew", "InvocationID")
		r.offer(t, "anew:1", slow(words))
		cmd := exec.Command("unitc", "update", "--settle", "3s", "anew")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "it starts anew", func() bool {
			return property(t, "anew", "InvocationID") != before && property(t, "anew", "ActiveState") == when
		})
		must(t, "systemctl", "daemon-reexec")
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil || !strings.Contains(out.String(), "anew.service: updated") {
				t.Errorf("%v, %s", err, out.String())
			}
		case <-time.After(2 * time.Minute):
			_ = cmd.Process.Kill()
			t.Fatal("the update does not end")
		}
		awaitLine(t, "anew", words)
	}
}
