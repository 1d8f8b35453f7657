// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	entries "github.com/unitc/unitc/internal/journal"
)

// wavering is well, is not after SIGUSR1, and is again after SIGUSR2. Its check writes two lines.
const wavering = `rootfs: host
stop_signal: SIGKILL
tmpfs: [/run/app]
command: [sh, -c, 'trap "rm -f /run/app/ok" USR1; trap "touch /run/app/ok" USR2; touch /run/app/ok; echo up; while sleep 0.05; do :; done']
healthcheck: {interval: 100ms, retries: 2, test: [CMD, sh, -c, 'echo looking; test -e /run/app/ok || { echo "no \033[31mgood"; exit 3; }']}
`

type verdict struct {
	Name, Event, Message, Output string
	ExitStatus                   *int `json:"exit_status"`
	FailingStreak                int  `json:"failing_streak"`
}

// verdicts are the events of a container's health.
func verdicts(t *testing.T, events string) (list []verdict) {
	t.Helper()
	for line := range strings.Lines(events) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if strings.HasPrefix(v.Event, "health_status") {
			list = append(list, v)
		}
	}
	return list
}

type healthState struct {
	Status        string
	FailingStreak int `json:"failing_streak"`
	Log           []struct {
		Start, End time.Time
		ExitCode   int `json:"exit_code"`
		Output     string
	}
}

func inspectHealth(t *testing.T, out string) *healthState {
	t.Helper()
	var list []struct {
		State *healthState `json:"health_state"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	return list[0].State
}

// A container that gets healthy, unhealthy and healthy again leaves three entries, however
// often it was looked at, and its last five checks are there to be read.
func TestHealthChangesAreTold(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		u := p.define(t, fresh("wavers"), wavering).start()
		u.awaitOutput("up\n")
		state := func() *healthState { return inspectHealth(t, must(t, "unitc", "inspect", u.name)) }
		u.signal("USR1")
		await(t, "it has failed five times", func() bool { s := state(); return s != nil && s.FailingStreak >= 5 })
		s := state()
		if s.Status != "unhealthy" || len(s.Log) != 5 {
			t.Errorf("inspect has %+v", s)
		}
		for i, c := range s.Log {
			if c.ExitCode != 3 || c.Output != "looking\nno \033[31mgood\n" || c.End.Before(c.Start) || time.Since(c.End) > time.Minute || i > 0 && c.Start.Before(s.Log[i-1].End) {
				t.Errorf("check %d is %+v", i, c)
			}
		}
		u.signal("USR2")
		await(t, "it is well again", func() bool { return state().Status == "healthy" })
		if s := state(); s.FailingStreak != 0 || s.Log[len(s.Log)-1].ExitCode != 0 || s.Log[len(s.Log)-1].Output != "looking\n" {
			t.Errorf("inspect has %+v", s)
		}
		u.stop()
		must(t, "journalctl", "--sync")
		list := verdicts(t, must(t, "unitc", "events", "--json", "--no-follow", u.name))
		if len(list) != 3 || list[0].Event != "health_status: healthy" || list[1].Event != "health_status: unhealthy" || list[2].Event != "health_status: healthy" {
			t.Fatalf("the events are %+v", list)
		}
		if v := list[1]; v.Name != u.name || v.ExitStatus == nil || *v.ExitStatus != 3 || v.FailingStreak != 2 || v.Output != "no  [31mgood" ||
			v.Message != u.unit()+" is unhealthy: exit status 3: looking no  [31mgood, 2 of 2" {
			t.Errorf("the event is %+v", v)
		}
		if out := must(t, "unitc", "events", "--no-follow", u.name); !strings.Contains(out, u.name+"  health_status: unhealthy  "+u.unit()+" is unhealthy: ") {
			t.Errorf("the events are\n%s", out)
		}
		if out := must(t, "journalctl", "-q", "--no-pager", "-u", u.unit(), "MESSAGE_ID="+entries.HealthID); strings.Count(out, "unitc[") != 3 {
			t.Errorf("the journal has\n%s", out)
		}
	})
}

// A check by hand is none of the container's round, and one that hangs did not come to its end.
//
//lab:once
func TestLastChecks(t *testing.T) {
	t.Parallel()
	u := scoped.define(t, fresh("looked-at-once"), strings.NewReplacer("interval: 100ms", "interval: 1h").Replace(wavering)).start()
	must(t, "unitc", "healthcheck", u.name)
	if s := inspectHealth(t, must(t, "unitc", "inspect", u.name)); s == nil || len(s.Log) != 1 || s.Status != "healthy" {
		t.Errorf("inspect has %+v", s)
	}
	for kind, c := range map[string]struct{ check, probe, output string }{
		"exec": {"healthcheck: {interval: 1h, timeout: 300ms, test: [CMD, sh, -c, 'echo looking; sleep 30']}", "", "looking\n\nno end in 300ms\n"},
		"file": {"healthcheck: {interval: 1h}", "probe: {file: /run/nothing}", "file /run/nothing: no such file or directory"},
	} {
		u := scoped.defineProbe(t, fresh("looked-at-"+kind), "rootfs: host\nstop_signal: SIGKILL\ncommand: [sleep, infinity]\n"+c.check, c.probe).startAsync()
		await(t, "it was looked at", func() bool { return inspectHealth(t, must(t, "unitc", "inspect", u.name)) != nil })
		code := map[string]int{"exec": -1, "file": 1}[kind]
		if s := inspectHealth(t, must(t, "unitc", "inspect", u.name)); s.Status != "starting" || s.Log[0].ExitCode != code || s.Log[0].Output != c.output {
			t.Errorf("%s: inspect has %+v", kind, s)
		}
	}
}

// What the relay says of checks is no line of the payload's, whose last ones are kept.
func TestHealthIsNoLastLine(t *testing.T) {
	t.Parallel()
	for _, p := range probePlacements {
		for _, form := range []string{"", "logging: {options: {format: json}}"} {
			if form != "" && p.driver == "direct" {
				continue
			}
			text := strings.Replace(wavering, `touch /run/app/ok" USR2`, `echo last words; exit 4" USR2`, 1)
			u := p.define(t, fresh("no-last-line"), text)
			if form != "" {
				place(t, "/etc/unitc/"+u.name+".yaml.d/log.yaml", form+"\n")
				reload(t)
			}
			u.start()
			u.signal("USR1")
			u.awaitStatus("unhealthy")
			u.signal("USR2")
			u.await("ActiveState", "failed")
			if got := fmt.Sprint(why(t, u.name)["lines"]); got != "[up last words]" {
				t.Errorf("%s %s: its last lines are %s", p, form, got)
			}
		}
	}
}

// A user's containers tell the same.
//
//lab:once
func TestUserHealthChangesAreTold(t *testing.T) {
	s := newSession(t)
	name := fresh("users-wavers")
	s.define(name+".yaml", strings.Replace(wavering, "rootfs: host", "rootfs: host\nnetwork_mode: none", 1))
	s.must("systemctl", "--user", "start", name)
	s.says(name, "up")
	s.must("systemctl", "--user", "kill", "--kill-whom=main", "--signal=USR1", name)
	if err := eventually(func() error {
		h := inspectHealth(t, s.must("unitc", "--user", "inspect", name))
		if h == nil || h.Status != "unhealthy" || len(h.Log) < 2 || h.Log[len(h.Log)-1].ExitCode != 3 {
			return fmt.Errorf("inspect has %+v", h)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	s.says(name, name+".service is unhealthy: exit status 3")
	list := verdicts(t, s.must("unitc", "--user", "events", "--json", "--no-follow", name))
	if len(list) != 2 || list[0].Event != "health_status: healthy" || list[1].Event != "health_status: unhealthy" || list[1].Name != name {
		t.Errorf("the events are %+v", list)
	}
	s.must("systemctl", "--user", "stop", name)
}
