// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"strings"
	"testing"
	"time"
)

// Containers that do not stay up: systemd waits an hour before it starts them again, or
// has given up.
const (
	loops   = "rootfs: host\nnetwork_mode: none\ncommand: [sh, -c, 'echo it ends; exit 7']\ndeploy: {restart_policy: {condition: any, delay: 1h}}\n"
	givesUp = "rootfs: host\nnetwork_mode: none\ncommand: [sh, -c, 'echo it ends; exit 7']\nrestart: on-failure:1\n"
	steady  = "rootfs: host\nnetwork_mode: none\ninit: true\ncommand: [sleep, infinity]\n"
)

// What ends again and again has its new definition at once.
func TestApplyEndsALoop(t *testing.T) {
	const name = "verb-loop"
	file := definitions + name + ".yaml"
	runs := func(when string) {
		t.Helper()
		if got := property(t, name, "ActiveState"); got != "active" {
			t.Errorf("%s: it is %s", when, got)
		}
	}
	for _, c := range []struct {
		what, text, state string
		apply             []string
	}{
		{"a loop, all that has changed", loops, "auto-restart", []string{"unitc", "apply"}},
		{"a loop by its name", loops, "auto-restart", []string{"unitc", "apply", name}},
		{"a loop, up", loops, "auto-restart", []string{"unitc", "up", file}},
		{"given up, by its name", givesUp, "failed", []string{"unitc", "apply", name}},
		{"given up, up", givesUp, "failed", []string{"unitc", "up", file}},
	} {
		t.Run(c.what, func(t *testing.T) {
			defineFor(t, name, c.text)
			command(t, "systemctl", "start", name)
			await(t, "it has ended", func() bool { return property(t, name, "SubState") == c.state })
			// As it is by the file still.
			if c.apply[1] == "apply" && len(c.apply) == 2 {
				if out := must(t, c.apply[0], c.apply[1:]...); strings.Contains(out, name) {
					t.Errorf("nothing has changed: %s", out)
				}
			}
			place(t, file, steady+c.text[strings.LastIndex(strings.TrimSuffix(c.text, "\n"), "\n")+1:])
			if out := must(t, "unitc", "diff", name); !strings.Contains(out, "command") {
				t.Errorf("diff says %s", out)
			}
			out := must(t, c.apply[0], c.apply[1:]...)
			runs(c.what)
			if !strings.Contains(out, name+": restarted\n") {
				t.Errorf("it says %s", out)
			}
			if got := property(t, name, "NRestarts"); got != "0" {
				t.Errorf("systemd counts %s restarts still", got)
			}
			must(t, "systemctl", "stop", name)
			if got, status := command(t, "unitc", "apply", name); status == 0 || !strings.Contains(got, "is not running (stopped)") {
				t.Errorf("of what was stopped: %d, %s", status, got)
			}
		})
	}
	// A job that has failed is run by who wants that.
	defineFor(t, name, "rootfs: host\nnetwork_mode: none\ncommand: ['false']\n")
	command(t, "systemctl", "start", name)
	await(t, "it has failed", func() bool { return property(t, name, "ActiveState") == "failed" })
	if out, status := command(t, "unitc", "apply", name); status == 0 || !strings.Contains(out, "is not running (failed)") {
		t.Errorf("a job that has failed: %d, %s", status, out)
	}
}

// Instances of a service that end again and again are replaced as those that run.
func TestApplyEndsALoopOfInstances(t *testing.T) {
	const name = "verb-loops"
	project := func(text string) string {
		return "services:\n  web:\n    scale: 2\n    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
	}
	defineFor(t, name, project(loops), name+"-web-1", name+"-web-2")
	units := []string{name + "-web-1", name + "-web-2"}
	for _, unit := range units {
		command(t, "systemctl", "start", unit)
		await(t, "it has ended", func() bool { return property(t, unit, "SubState") == "auto-restart" })
	}
	place(t, definitions+name+".yaml", strings.Replace(project(steady), "init: true", "init: true\n    restart: always\n    deploy: {update_config: {monitor: 200ms}}", 1))
	// By the new definition systemd waits a second: it is over when systemd reads that, and
	// who applies it is not alone in starting them.
	time.Sleep(1100 * time.Millisecond)
	out := must(t, "unitc", "apply", name)
	for _, unit := range units {
		if got := property(t, unit, "ActiveState"); got != "active" || !strings.Contains(out, unit+": restarted") {
			t.Errorf("%s is %s; apply says %s", unit, got, out)
		}
	}
}

// A newer image reaches what ends again and again with the one before, and a rollback
// does where the newer one does.
//
//lab:once
func TestUpdateEndsALoop(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	const ends = `{"Cmd": ["/bin/sh", "-c", "echo it ends; exit 7"]}`
	for _, named := range []bool{false, true} {
		name := fresh("update-loop")
		image := r.offer(t, name+":1", ends)
		defineFor(t, name, "image: "+image+"\ninit: true\nnetwork_mode: none\nx-update: registry\ndeploy: {restart_policy: {condition: any, delay: 1h}}\n")
		command(t, "systemctl", "start", name)
		await(t, "it has ended", func() bool { return property(t, name, "SubState") == "auto-restart" })
		r.offer(t, name+":1", saying("version two of "+name))
		argv := []string{"update", "--settle", "200ms"}
		if named {
			argv = append(argv, name)
		}
		if out := must(t, "unitc", argv...); !strings.Contains(out, name+".service: updated") {
			t.Errorf("it says %s", out)
		}
		awaitLine(t, name, "version two of "+name)
		if !named {
			continue
		}
		// One that is up for long enough, and not for ever.
		r.offer(t, name+":1", `{"Cmd": ["/bin/sh", "-c", "echo version three of `+name+`; sleep 2; exit 7"]}`)
		must(t, "unitc", "update", "--settle", "200ms", name)
		awaitLine(t, name, "version three of "+name)
		await(t, "it has ended", func() bool { return property(t, name, "SubState") == "auto-restart" })
		if out := must(t, "unitc", "rollback", "--settle", "200ms", name); !strings.Contains(out, name+".service: rolled back") {
			t.Errorf("it says %s", out)
		}
		if got := property(t, name, "ActiveState"); got != "active" {
			t.Errorf("after the rollback it is %s", got)
		}
	}
}
