// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// sleeper ends on its stop signal: the first process of a PID namespace has no
// signal but those that it handles (pid_namespaces(7)).
const sleeper = "rootfs: host\ncommand: [/bin/sh, -c, 'trap exit TERM; sleep infinity & wait']\n"

// defineFor places a definition for the time of the test, and stops what was
// started of it.
func defineFor(t *testing.T, name, text string, units ...string) {
	t.Helper()
	cleanReload(t)
	place(t, "/etc/unitc/"+name+".yaml", text)
	if len(units) == 0 {
		units = []string{name + ".service"}
	}
	t.Cleanup(func() {
		for _, unit := range units {
			command(t, "systemctl", "stop", unit)
			command(t, "systemctl", "reset-failed", unit)
		}
	})
	reload(t)
}

// startedWithSystem tells whether the boot's target wants the unit.
func startedWithSystem(t *testing.T, unit string) bool {
	t.Helper()
	return slices.Contains(strings.Fields(must(t, "systemctl", "list-dependencies", "--plain", "multi-user.target")), unit)
}

// reach starts what the boot's target wants and is not running, as a boot does.
func reach(t *testing.T) {
	t.Helper()
	must(t, "systemctl", "start", "multi-user.target")
}

func asNobody(args ...string) []string {
	return append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "unitc"}, args...)
}

// What systemctl refuses (systemd issue 28006), unitc does, and systemd heeds it.
func TestEnableAndDisable(t *testing.T) {
	for _, c := range []struct {
		name, text, unit string
		first            bool
	}{
		{"cli-plain", sleeper, "cli-plain.service", false},
		{"cli-always", sleeper + "restart: always\n", "cli-always.service", true},
		{"cli-worker@", sleeper, "cli-worker@7.service", false},
		{"cli-default@", sleeper + "systemd: {install: {DefaultInstance: a, WantedBy: multi-user.target}}\n", "cli-default@a.service", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			defineFor(t, c.name, c.text, c.unit)
			if got := startedWithSystem(t, c.unit); got != c.first {
				t.Fatalf("%s is started with the system: %v, before anything was asked for", c.unit, got)
			}
			if _, status := command(t, "systemctl", "enable", c.unit); status == 0 {
				t.Errorf("systemctl enable takes %s: unitc enable has no reason to be", c.unit)
			}
			for range 2 { // a second time changes nothing
				must(t, "unitc", "enable", c.unit)
				if !startedWithSystem(t, c.unit) {
					t.Fatalf("%s is enabled, and multi-user.target does not want it", c.unit)
				}
			}
			reach(t)
			if got := property(t, c.unit, "ActiveState"); got != "active" {
				t.Errorf("%s is enabled, the target is reached, and it is %s", c.unit, got)
			}
			for range 2 {
				must(t, "unitc", "disable", "--now", c.unit)
				if startedWithSystem(t, c.unit) {
					t.Fatalf("%s is disabled, and multi-user.target wants it", c.unit)
				}
			}
			reach(t)
			if got := property(t, c.unit, "ActiveState"); got != "inactive" {
				t.Errorf("%s is disabled, the target is reached, and it is %s", c.unit, got)
			}
			// Disabled is not forbidden.
			must(t, "unitc", "enable", "--now", c.unit)
			if got := property(t, c.unit, "ActiveState"); got != "active" {
				t.Errorf("after enable --now %s is %s", c.unit, got)
			}
			must(t, "unitc", "disable", "--now", c.unit)
			must(t, "unitc", "enable", c.unit)
			if !c.first {
				must(t, "unitc", "disable", c.unit)
			}
			if got := startedWithSystem(t, c.unit); got != c.first {
				t.Errorf("%s is started with the system: %v, before it all it was %v", c.unit, got, c.first)
			}
		})
	}
}

// A project is enabled as one, and its services are started by its target.
func TestEnableProject(t *testing.T) {
	indented := strings.ReplaceAll(strings.TrimSuffix(sleeper, "\n"), "\n", "\n    ")
	text := "services:\n  plain:\n    " + indented + "\n  always:\n    " + indented + "\n    restart: always\n"
	services := []string{"cli-blog-plain.service", "cli-blog-always.service"}
	defineFor(t, "cli-blog", text, append(services, "cli-blog.target")...)
	must(t, "unitc", "disable", "cli-blog")
	for _, step := range []struct{ verb, want string }{{"enable", "active"}, {"disable", "inactive"}} {
		must(t, "unitc", step.verb, "cli-blog")
		if step.verb == "disable" {
			must(t, "unitc", "disable", "--now", "cli-blog")
		}
		reach(t)
		for _, unit := range services {
			if got := property(t, unit, "ActiveState"); got != step.want {
				t.Errorf("after %s of the project %s is %s", step.verb, unit, got)
			}
		}
	}
	must(t, "unitc", "enable", "--now", "cli-blog.target")
	for _, unit := range services {
		if got := property(t, unit, "ActiveState"); got != "active" {
			t.Errorf("after enable --now of the project %s is %s", unit, got)
		}
	}
	must(t, "unitc", "disable", "--now", "cli-blog")
	must(t, "unitc", "enable", "cli-blog-always")
}

// A fault is told in the same words before and at the start, at its line.
//
//lab:once
func TestCheckSaysWhatAStartSays(t *testing.T) {
	for _, c := range []struct{ name, unit, text, at string }{
		{"cli-planner", "cli-planner", sleeper + "sysctls: {kernel.panic: \"1\"}\n", ":3:1: error: sysctls.kernel.panic: "},
		{"cli-parser", "cli-parser", sleeper + "mem_limt: 64m\n", ":3:1: error: mem_limt: "},
		{"cli-part", "cli-part-web", "services:\n  web:\n    rootfs: host\n    command: [sleep, infinity]\n    network_mode: none\n    sysctls: {kernel.panic: \"1\"}\n", ":6:5: error: services.web.sysctls.kernel.panic: "},
	} {
		name, unit := c.name, c.unit
		defineFor(t, name, c.text, unit+".service")
		said, status := command(t, "unitc", "check", "-q", "/etc/unitc/"+name+".yaml")
		if status != 1 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "/etc/unitc/"+name+".yaml"+c.at) {
			t.Errorf("unitc check exits with %d and says\n%s", status, said)
			continue
		}
		if _, status := command(t, "systemctl", "start", unit); status == 0 {
			t.Errorf("%s starts all the same", name)
		}
		if got := property(t, unit+".service", "ExecMainStatus"); got != "78" {
			t.Errorf("%s exits with %s, not with EX_CONFIG", name, got)
		}
		must(t, "journalctl", "--sync")
		if out := must(t, "journalctl", "-o", "cat", "-u", unit+".service"); !strings.Contains(out, said) {
			t.Errorf("check says\n%sand the start\n%s", said, out)
		}
	}
}

//lab:once
func TestEnableNeedsRoot(t *testing.T) {
	defineFor(t, "cli-nobody", sleeper)
	out, status := command(t, "setpriv", asNobody("enable", "cli-nobody")...)
	if status != 4 || !strings.Contains(out, "permission denied") || !strings.Contains(out, "run it as root") {
		t.Errorf("exit status %d, want 4:\n%s", status, out)
	}
	if startedWithSystem(t, "cli-nobody.service") {
		t.Error("it is enabled all the same")
	}
}

func TestEnableNowOfOneThatFails(t *testing.T) {
	defineFor(t, "cli-fails", "rootfs: /no/such/directory\ncommand: /bin/true\n")
	t.Cleanup(func() { must(t, "unitc", "disable", "cli-fails") })
	if out, status := command(t, "unitc", "enable", "--now", "cli-fails"); status != 1 || !strings.Contains(out, "cli-fails.service") {
		t.Errorf("exit status %d, want 1:\n%s", status, out)
	}
	if got := property(t, "cli-fails.service", "ActiveState"); got != "failed" || !startedWithSystem(t, "cli-fails.service") {
		t.Errorf("it is %s, and starts with the system: %v", got, startedWithSystem(t, "cli-fails.service"))
	}
}

type listed struct {
	Name, Unit, State, Result, Definition, Image string
	MainPID                                      int `json:"main_pid"`
	ExitStatus                                   int `json:"exit_status"`
	Since                                        time.Time
}

func list(t *testing.T, name string, args ...string) map[string]listed {
	t.Helper()
	var units []listed
	out := must(t, name, args...)
	if err := json.Unmarshal([]byte(out), &units); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	byName := map[string]listed{}
	for _, u := range units {
		byName[u.Name] = u
	}
	return byName
}

func TestPs(t *testing.T) {
	start := time.Now().Add(-time.Second)
	defineFor(t, "cli-run", sleeper)
	defineFor(t, "cli-stopped", sleeper)
	defineFor(t, "cli-failed", "rootfs: host\ncommand: [/bin/sh, -c, exit 3]\n")
	defineFor(t, "cli-instance@", sleeper, "cli-instance@b.service")
	must(t, "systemctl", "start", "cli-run", "cli-instance@b")
	command(t, "systemctl", "start", "cli-failed")
	for end := time.Now().Add(time.Minute); property(t, "cli-failed.service", "ActiveState") != "failed"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("cli-failed does not fail")
		}
	}

	units := list(t, "unitc", "ps", "-a", "--json")
	for name, want := range map[string]listed{
		"cli-run":        {State: "running", Definition: "/etc/unitc/cli-run.yaml", Image: "rootfs:host"},
		"cli-stopped":    {State: "stopped", Definition: "/etc/unitc/cli-stopped.yaml", Image: "rootfs:host"},
		"cli-failed":     {State: "failed", Result: "exit-code", ExitStatus: 3, Definition: "/etc/unitc/cli-failed.yaml", Image: "rootfs:host"},
		"cli-instance@b": {State: "running", Definition: "/etc/unitc/cli-instance@.yaml", Image: "rootfs:host"},
	} {
		got, ok := units[name]
		if !ok {
			t.Errorf("%s is not listed", name)
			continue
		}
		if got.State == "running" && (got.MainPID == 0 || got.Since.Before(start) || got.Since.After(time.Now())) {
			t.Errorf("%s runs with main process %d since %v", name, got.MainPID, got.Since)
		}
		want.Name, want.Unit, want.MainPID, want.Since = name, name+".service", got.MainPID, got.Since
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if _, ok := units["systemd-journald"]; ok {
		t.Error("a unit of others is listed")
	}
	if _, ok := list(t, "unitc", "ps", "--json")["cli-stopped"]; ok {
		t.Error("without -a a stopped unit is listed")
	}
	// Whoever may ask systemd may list; what only root may read stays unknown.
	if got := list(t, "setpriv", asNobody("ps", "--json")...)["cli-run"]; got.State != "running" || got.Image != "" {
		t.Errorf("as another user cli-run is listed as %+v", got)
	}
	if out := must(t, "unitc", "ps", "cli-run"); !strings.Contains(out, "running") {
		t.Errorf("the table says\n%s", out)
	}
	if _, status := command(t, "unitc", "ps", "cli-rum"); status != 3 {
		t.Errorf("exit status %d of an unknown name, want 3", status)
	}
}

func TestLogs(t *testing.T) {
	const text = "command: [/bin/sh, -c, 'echo first line; echo second line >&2; trap exit TERM; sleep infinity & wait']\nrootfs: host\n"
	defineFor(t, "cli-logs", text)
	defineFor(t, "cli-direct", text+"logging: {driver: direct}\n")
	must(t, "systemctl", "start", "cli-logs", "cli-direct")
	for _, name := range []string{"cli-logs", "cli-direct"} {
		// Following ends the wait for lines on their way without asking again.
		cmd := exec.Command("unitc", "logs", "-f", "-o", "cat", name)
		pipe, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		want := []string{"first line", "second line"}
		for lines := bufio.NewScanner(pipe); len(want) > 0 && lines.Scan(); {
			if lines.Text() == want[0] {
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: no line %q", name, want)
		}
		watchdog.Stop()
		cmd.Process.Kill()
		cmd.Wait()
	}
	if out := must(t, "unitc", "logs", "-o", "cat", "-n", "all", "cli-logs"); strings.Contains(out, "cli-direct") {
		t.Errorf("lines of another unit:\n%s", out)
	}
}

// What `plan --steps` promises is what a start does: the helper says so itself.
//
//lab:once
func TestStepsArePromisedAsTheyRun(t *testing.T) {
	defineFor(t, "cli-steps", sleeper+"read_only: true\nhostname: steps\n")
	place(t, "/run/systemd/system/cli-steps.service.d/trace.conf", "[Service]\nEnvironment=UNITC_TRACE=1\n")
	reload(t)
	must(t, "systemctl", "start", "cli-steps")
	var steps []struct {
		Name           string
		Inner, Applies bool
	}
	if err := json.Unmarshal([]byte(must(t, "setpriv", asNobody("plan", "--steps", "--json", "cli-steps")...)), &steps); err != nil {
		t.Fatal(err)
	}
	var promised, ran []string
	for _, s := range steps {
		if s.Inner && s.Applies {
			promised = append(promised, s.Name)
		}
	}
	must(t, "journalctl", "--sync")
	for line := range strings.Lines(must(t, "journalctl", "-o", "cat", "-b", "-u", "cli-steps.service")) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "step" {
			ran = append(ran, f[1])
		}
		// With what it is for, behind its duration.
		if strings.Contains(line, " mask-paths ") && !strings.Contains(line, " µs : with a null device of our own") ||
			strings.Contains(line, " start-scope ") && !strings.Contains(line, " of CPU : systemd has been asked for the payload's cgroup") {
			t.Errorf("a step without its description: %s", line)
		}
	}
	// The last step, exec-payload, has no successor and so no duration.
	if n := len(promised); n == 0 || !slices.Equal(promised[:n-1], slices.DeleteFunc(ran, func(s string) bool { return s == "exec-payload" })) {
		t.Errorf("promised %v\nran %v", promised, ran)
	}
}
