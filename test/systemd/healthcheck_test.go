// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// each kind of check, and what makes it succeed and fail inside.
const askable = `rootfs: host
stop_signal: SIGKILL
tmpfs: [/run/app]
command: [perl, -MIO::Socket::INET, -e, '$$s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>4712,Listen=>5,ReuseAddr=>1); $$|=1; print "up\n"; while(1){$$c=$$s->accept or next; while(<$$c>){last if /^\r/} print $$c (-e "/run/app/ok"?"HTTP/1.1 200 OK\r\n\r\n":"HTTP/1.1 503 No\r\n\r\n"); close $$c}']
`

// A check that is made by hand says what the one of every interval says, and changes nothing.
//
//lab:once
func TestHealthcheckByHand(t *testing.T) {
	t.Parallel()
	rarely := "{interval: 1h, timeout: 3s, start_period: 1h, start_interval: 1h%s}" // but for the first
	for kind, c := range map[string]struct{ test, probe, failure string }{
		"exec": {`, test: [CMD, sh, -c, 'echo looking; echo "with \033[31mcolour"; test -e /run/app/ok']`, "", "unhealthy: exit status 1 ("},
		"http": {"", `http: "http://:4712/health"`, "unhealthy: http 503 on /health ("},
		"file": {"", "file: /run/app/ok", "unhealthy: file /run/app/ok: no such file or directory ("},
	} {
		t.Run(kind, func(t *testing.T) {
			everyProbePlacement(t, func(t *testing.T, p placement) {
				probe := ""
				if c.probe != "" {
					probe = "probe: {" + c.probe + "}"
				}
				u := p.defineProbe(t, "byhand-"+kind, askable+"healthcheck: "+fmt.Sprintf(rarely, c.test), probe, "TimeoutStartSec=infinity").startAsync()
				u.awaitOutput("up\n")
				u.awaitStatus("starting: ")
				out, status := command(t, "unitc", "healthcheck", u.name)
				if status != 1 || !strings.Contains(out, u.name+": "+c.failure) {
					t.Errorf("it says with %d\n%s", status, out)
				}
				if kind == "exec" && (!strings.Contains(out, "looking\n") || strings.Contains(out, "\x1b")) {
					t.Errorf("its output is %q", out)
				}
				must(t, "unitc", "exec", u.name, "touch", "/run/app/ok")
				if out := must(t, "unitc", "health", u.name); !strings.Contains(out, u.name+": healthy (") {
					t.Errorf("it says %s", out)
				}
				var found struct {
					Healthy bool
					Failure string
				}
				if err := json.Unmarshal([]byte(must(t, "unitc", "healthcheck", "--json", u.name)), &found); err != nil || !found.Healthy || found.Failure != "" {
					t.Errorf("%+v, %v", found, err)
				}
				u.await("ActiveState", "active") // the next one by itself is an hour away
				must(t, "unitc", "exec", u.name, "rm", "/run/app/ok")
				if out, status := command(t, "unitc", "healthcheck", u.name); status != 1 || !strings.Contains(out, u.name+": "+c.failure) {
					t.Errorf("it says with %d\n%s", status, out)
				}
				if after := u.show("StatusText"); after != "healthy" {
					t.Errorf("the status is %q", after)
				}
			})
		})
	}
	none := scoped.define(t, "byhand-none", "rootfs: host\nstop_signal: SIGKILL\ncommand: [sleep, infinity]").start()
	if out, status := command(t, "unitc", "healthcheck", none.name); status != 125 || !strings.Contains(out, "has no health check") {
		t.Errorf("without a check: %d, %s", status, out)
	}
	none.stop()
	if out, status := command(t, "unitc", "healthcheck", none.name); status != 125 || !strings.Contains(out, "not running") && !strings.Contains(out, "stopped") {
		t.Errorf("of one that does not run: %d, %s", status, out)
	}
}

// One that hangs ends with its time-out, or with an interrupt, and nothing of it stays.
//
//lab:once
func TestHealthcheckThatHangs(t *testing.T) {
	t.Parallel()
	const body = "rootfs: host\nstop_signal: SIGKILL\ntmpfs: [/run/app]\ncommand: [sleep, infinity]\nhealthcheck: {interval: 1h, start_period: 1h, start_interval: 1h, timeout: %s, test: [CMD, sh, -c, 'test ! -e /run/app/hang || exec sleep 1002']}"
	start := func(timeout string) *container {
		u := scoped.define(t, "hangs-"+timeout, fmt.Sprintf(body, timeout)).start() // the first is made by itself, the next is an hour away
		must(t, "unitc", "exec", u.name, "touch", "/run/app/hang")
		return u
	}
	u := start("2s")
	if out, status := command(t, "unitc", "healthcheck", u.name); status != 1 || !strings.Contains(out, "unhealthy: no end in 2s") {
		t.Errorf("%d, %s", status, out)
	}
	long := start("10m")
	cmd, terminal := onTerminal(t, "unitc", "healthcheck", long.name)
	has := func(text string) bool { return strings.Contains(strings.Join(processes(t, long.leaf()), "\n"), text) }
	await(t, "the check runs", func() bool { return has("sleep 1002") })
	io.WriteString(terminal, "\x03")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("an interrupt ends it with %v", err)
	}
	await(t, "the check is gone", func() bool { return !has("sleep 1002") })
}

// Processes are told with their numbers on both sides, their users by the container's own names.
func TestTop(t *testing.T) {
	t.Parallel()
	everyProbePlacement(t, func(t *testing.T, p placement) {
		u := p.define(t, "top", "rootfs: host\nstop_signal: SIGKILL\nhealthcheck: {interval: 1h, test: [CMD, 'true']}\ncap_add: [SETUID, SETGID]\ncommand: [sh, -c, 'sleep 1003 & setpriv --reuid=33 --clear-groups sleep 1004 & setpriv --reuid=4242 --clear-groups sleep 1005 & wait']").start()
		type process struct {
			PID     int
			Inside  int `json:"pid_inside"`
			UID     int
			User    string
			CPU     uint64 `json:"cpu_usec"`
			Memory  uint64 `json:"memory_bytes"`
			Started time.Time
			Command []string
		}
		var rows []struct {
			Name      string
			Processes []process
		}
		await(t, "all are there", func() bool {
			out := must(t, "unitc", "top", "--json", u.name)
			if err := json.Unmarshal([]byte(out), &rows); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return len(rows) == 1 && strings.Count(out, `"sleep"`) == 3
		})
		by := map[string]process{}
		for _, p := range rows[0].Processes {
			by[strings.Join(p.Command, " ")] = p
			if p.Memory == 0 || p.PID == 0 || p.Inside == 0 || time.Since(p.Started) > time.Hour || time.Since(p.Started) < -time.Minute {
				t.Errorf("%+v", p)
			}
		}
		if len(by) != 4 || rows[0].Processes[0].PID != u.mainPID() || rows[0].Processes[0].Inside != 1 || rows[0].Processes[0].User != "root" {
			t.Errorf("%+v", rows)
		}
		if p := by["sleep 1004"]; p.UID != 33 || p.User != "www-data" {
			t.Errorf("%+v", p)
		}
		if p := by["sleep 1005"]; p.UID != 4242 || p.User != "" {
			t.Errorf("%+v", p)
		}
		out := must(t, "unitc", "top", u.name)
		for _, want := range []string{"UNIT", "INSIDE", "www-data", "4242", "sleep 1003"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s in\n%s", want, out)
			}
		}
		if out := must(t, "unitc", "top"); !strings.Contains(out, u.name) {
			t.Errorf("without a name:\n%s", out)
		}
		u.stop()
		if out, status := command(t, "unitc", "top", u.name); status != 1 || !strings.Contains(out, u.name) {
			t.Errorf("of one that has stopped: %d, %s", status, out)
		}
	})
}

// A user sees the processes of their own, and makes their checks.
//
//lab:once
func TestUserTopAndHealthcheck(t *testing.T) {
	s := newSession(t)
	s.define("mine.yaml", strings.Replace(askable, "rootfs: host", "rootfs: host\nnetwork_mode: none", 1)+"healthcheck: {interval: 1h, timeout: 5s, test: [CMD, test, -e, /run/app/ok]}\n")
	s.define("other.yaml", strings.Replace(askable, "rootfs: host", "rootfs: host\nnetwork_mode: none", 1)+"healthcheck: {interval: 1h, timeout: 5s}\nsystemd: {probe: {http: 'http://:4712/'}}\n")
	s.must("systemctl", "--user", "start", "--no-block", "mine", "other")
	s.says("mine", "up")
	s.says("other", "up")
	for _, name := range []string{"mine", "other"} {
		if out, status := s.run("unitc", "--user", "healthcheck", name); status != 1 || !strings.Contains(out, name+": unhealthy: ") {
			t.Errorf("%d, %s", status, out)
		}
		s.must("unitc", "--user", "exec", name, "touch", "/run/app/ok")
		if out, status := s.run("unitc", "--user", "healthcheck", name); status != 0 || !strings.Contains(out, name+": healthy") {
			t.Errorf("%d, %s", status, out)
		}
	}
	out := s.must("unitc", "--user", "top", "mine")
	if !strings.Contains(out, "perl") || !strings.Contains(out, "root") || !strings.Contains(out, " 1 ") {
		t.Errorf("top says\n%s", out)
	}
	s.must("systemctl", "--user", "stop", "mine", "other")
}
