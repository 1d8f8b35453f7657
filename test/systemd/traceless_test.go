// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// traceless is what makes a container one that leaves nothing to clean up.
const traceless = "\nnetwork_mode: none"

// both runs a test with a definition that needs clean-up, with one that does not,
// and with one that is swept up after.
func both(t *testing.T, name string, test func(t *testing.T, kind, more string)) {
	for kind, more := range map[string]string{"cleans": traceless + "\npid: host", "traceless": traceless, "swept": ""} {
		t.Run(name+"-"+kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind, more)
		})
	}
}

// A container that leaves nothing has no process of ours run at its stop, one that
// leaves records has one behind it, all others have one in it.
func TestWhoNeedsCleanUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more           string
		cleans, sweeps bool
	}{
		"alone": {traceless, false, false}, "host": {"\nnetwork_mode: host", false, false}, "bridge": {"", false, true},
		"pid": {"\npid: host", true, true}, "pid-alone": {traceless + "\npid: host", true, false}, "probe": {traceless + "\nhealthcheck: {test: [CMD, 'true']}", false, false},
	} {
		u := scoped.define(t, "needs-"+name, endless+c.more)
		cleans, success, failure := u.show("ExecStopPost") != "", u.show("OnSuccess"), u.show("OnFailure")
		sweeps := success == sweepTimer && strings.Contains(failure, sweepTimer)
		if cleans != c.cleans || sweeps != c.sweeps || !sweeps && success != "" {
			t.Errorf("%s: clean-up %v, after its end %q and %q", name, cleans, success, failure)
		}
	}
}

// What takes away what containers leave that have ended, and what begins it.
const (
	sweepUnit  = "unitc-sweep.service"
	sweepTimer = "unitc-sweep.timer"
)

// "The payload killed", "the relay killed", "the scope stopped by hand", a stop, a
// stop that has to kill, and a start that fails, of containers without clean-up:
// nothing is left, and the next start works.
func TestEndsWithoutCleanUp(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			everywhere(t, func(t *testing.T, p placement) {
				c := p.define(t, "traceless", ticker+traceless).start()
				c.awaitTicks()
				must(t, "systemctl", "restart", c.unit())
				c.awaitTicks()
				c.stop()
				if _, err := os.Stat("/run/unitc/" + c.name); !os.IsNotExist(err) {
					t.Errorf("/run/unitc/%s is left: %v", c.name, err)
				}
				c.start()
				c.awaitTicks()
				_ = syscall.Kill(c.mainPID(), syscall.SIGKILL)
				c.await("ActiveState", "failed")
				c.expect(c.unit(), "Result=signal", "ExecMainStatus=9")
				c.start()
				c.awaitTicks()
				if relays := pids("/unitc.slice/" + c.unit()); p == scoped {
					pid, _ := strconv.Atoi(relays[0])
					_ = syscall.Kill(pid, syscall.SIGKILL)
					must(t, "systemctl", "restart", c.unit())
					c.awaitTicks()
				}
				must(t, "systemctl", "stop", c.payloadUnit())
				await(t, "the service has ended", func() bool {
					return slices.Contains([]string{"inactive", "failed"}, c.show("ActiveState"))
				})
				c.start()
				c.awaitTicks()
			})
			c := scoped.define(t, "traceless-stubborn", stubborn+traceless).start()
			c.awaitOutput("up")
			c.stop()
			c.expect(c.unit(), "ExecMainCode=2", "ExecMainStatus=9", "Result=timeout", "ActiveState=failed")
			for name, more := range map[string]string{"program": "\ncommand: [/nowhere]", "device": "\ncommand: [sleep]\ndevices: [/dev/no-such-device]"} {
				c := scoped.define(t, "traceless-no-"+name, "rootfs: host"+traceless+more)
				for range 2 {
					if _, status := command(t, "systemctl", "start", c.unit()); status == 0 {
						t.Errorf("it starts with %s", more)
					}
				}
			}
		})
	})
}

// tracelessLaunches are launches without clean-up; each step has a container of
// its own.
var tracelessLaunches = []struct {
	placement
	definition string
}{
	{scoped, endless + traceless + "\nread_only: true\nhostname: crash\nconfigs: [crash]\nx-nftables: " + crashRules + "\ntmpfs: [/scratch]"},
	{placement{"service", "direct"}, endless + traceless + "\nuserns_mode: host\ninit: true"},
}

// defineSteps makes a container for each step of a launch.
func (p placement) defineSteps(t *testing.T, prefix, definition string) (steps []string, at map[string]*container) {
	t.Helper()
	if err := os.MkdirAll(hooks, 0o700); err != nil {
		t.Fatal(err)
	}
	cleanReload(t)
	place(t, "/run/systemd/system/"+prefix+"-.service.d/test.conf", "[Service]\nTimeoutStartSec=20\nEnvironmentFile=-"+hooks+"%N\n")
	text := fmt.Sprintf("%s\nlogging: {driver: %s}\nsystemd: {cgroup: %s}\n", definition, p.driver, p.cgroup)
	place(t, "/etc/unitc/"+prefix+"-x.yaml", text)
	steps = strings.Fields(must(t, helper, "steps", "own"))
	var described []struct {
		Name    string
		Applies bool
	}
	if err := json.Unmarshal([]byte(must(t, "unitc", "plan", "--steps", "--json", prefix+"-x")), &described); err != nil {
		t.Fatal(err)
	}
	for _, s := range described {
		if s.Applies {
			steps = append(steps, s.Name)
		}
	}
	at = map[string]*container{}
	for _, step := range steps {
		at[step] = &container{t: t, name: prefix + "-" + step, placement: p}
		place(t, "/etc/unitc/"+prefix+"-"+step+".yaml", text)
	}
	reload(t)
	return steps, at
}

// "The helper killed at every single step of a start: the next start works and
// nothing is left", without clean-up.
//
//lab:once
func TestHelperKilledWithoutCleanUp(t *testing.T) {
	killedWithoutCleanUp(t, func(string) bool { return true })
}

// Of the steps those that concern systemd.
//
//lab:others
func TestHelperKilledWhereSystemdActsWithoutCleanUp(t *testing.T) {
	killed := killedWithoutCleanUp(t, func(step string) bool { return slices.Contains(systemdSteps, step) })
	for _, step := range []string{"clone-payload", "start-scope", "join-scope", "await-exec", "become-relay"} {
		if !slices.Contains(killed, step) {
			t.Errorf("no launch has the step %s", step)
		}
	}
}

// killedWithoutCleanUp kills the helper at the steps that are wanted, and gives these.
func killedWithoutCleanUp(t *testing.T, wanted func(step string) bool) (killed []string) {
	t.Helper()
	var mu sync.Mutex // launches run side by side
	pipe(t, "x", "unitc", "secret", "set", "crash")
	t.Cleanup(func() { must(t, "unitc", "secret", "rm", "crash") })
	place(t, crashRules, egress)
	leavesNothing(t, func() {
		t.Run("launches", func(t *testing.T) {
			for _, l := range tracelessLaunches {
				t.Run(l.String(), func(t *testing.T) {
					t.Parallel()
					steps, at := l.defineSteps(t, "killed-"+l.cgroup, l.definition+quick)
					steps = slices.DeleteFunc(steps, func(step string) bool { return !wanted(step) })
					mu.Lock()
					killed = append(killed, steps...)
					mu.Unlock()
					t.Run("at", func(t *testing.T) {
						for _, step := range steps {
							t.Run(step, func(t *testing.T) {
								t.Parallel()
								c := &container{t: t, name: at[step].name, placement: l.placement}
								c.surviveKillAt(step)
								if _, err := os.Stat("/run/unitc/" + c.name); !os.IsNotExist(err) {
									t.Errorf("/run/unitc/%s is left: %v", c.name, err)
								}
							})
						}
					})
					kills := map[string]string{}
					for _, step := range steps {
						kills[at[step].name] = step
					}
					expectKills(t, kills)
				})
			}
		})
	})
	return killed
}

// "PID 1 re-executed in mid-start", without clean-up.
func TestReexecWithoutCleanUp(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			definition := endless + traceless
			steps, at := scoped.defineSteps(t, "reexec", definition)
			for _, step := range steps {
				c := at[step]
				if !slices.Contains([]string{"write-state", "clone-payload", "start-scope", "join-scope", "await-exec", "become-relay"}, step) {
					continue
				}
				c.arm("UNITC_PAUSE_AT", step)
				must(t, "systemctl", "start", "--no-block", c.unit())
				pid := c.awaitPausedHelper()
				c.disarm()
				must(t, "systemctl", "daemon-reexec")
				if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				c.await("ActiveState", "active")
				c.expectSleep()
				c.end()
			}
		})
	})
}

// A definition that changes while its container runs: its clean-up is that of
// what was started, whatever the unit is by now.
func TestCleanUpOfWhatWasStarted(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "changes", endless+"\ninit: true")
			path := "/etc/unitc/" + c.name + ".yaml"
			text := file(t, path)
			change := func(more string) {
				if err := os.WriteFile(path, []byte(text+more), 0o644); err != nil {
					t.Fatal(err)
				}
				reload(t)
			}
			c.start()
			change(traceless)
			if c.show("ExecStopPost") == "" {
				t.Error("what joined a bridge has no clean-up")
			}
			c.stop()
			reload(t)
			if got := c.show("ExecStopPost"); got != "" {
				t.Errorf("when it has ended there is still %s", got)
			}
			c.start()
			change("")
			c.expectSleep()
			c.stop()
			c.start()
			c.expectSleep()
			c.stop()
			// And one that is gone.
			change(traceless)
			c.start()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			reload(t)
			if c.show("ExecStopPost") == "" {
				t.Error("what has no definition any more has no clean-up")
			}
			c.stop()
			command(t, "systemctl", "reset-failed", c.unit())
			place(t, path, text) // for the end
			reload(t)
		})
	})
}

// entries are those that say why a container has failed, oldest first.
func (c *container) entries() (list []map[string]string) {
	c.t.Helper()
	must(c.t, "journalctl", "--sync")
	var out []byte
	await(c.t, "journalctl has read every file", func() bool {
		cmd := exec.Command("journalctl", "-q", "--no-pager", "-o", "json", "UNITC_UNIT="+c.unit())
		var words strings.Builder
		cmd.Stderr = &words
		var err error
		out, err = cmd.Output()
		// A file that journald is making at this moment is left out, with a word.
		return err == nil && words.Len() == 0
	})
	for line := range strings.Lines(string(out)) {
		entry := map[string]string{}
		var raw map[string]any
		if err := json.Unmarshal([]byte(line), &raw); err != nil {
			c.t.Fatalf("%v: %s", err, line)
		}
		for name, value := range raw {
			entry[name], _ = value.(string)
		}
		list = append(list, entry)
	}
	return list
}

// "On every failed or unexpected exit … one journal entry", whether or not something
// of ours runs at the end: after each failure that systemd answers with a restart,
// once, and after the last, with the lines of that run; and what the operator wants
// to be started by OnFailure= is started too.
func TestEntriesOfEachRun(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for kind, more := range map[string]string{"traceless": traceless, "cleans": traceless + "\npid: host"} {
				for _, driver := range []string{"journald", "direct"} {
					t.Run(kind+"-"+driver, func(t *testing.T) {
						t.Parallel()
						entriesOfEachRun(t, fresh("often-"+kind), placement{"scope", driver}, more)
					})
				}
			}
		})
	})
}

func entriesOfEachRun(t *testing.T, name string, p placement, more string) {
	t.Helper()
	full := name + "-" + p.String()
	mark, dir := "/run/lab-on-failure-"+full, "/run/lab-often-"+full
	place(t, "/run/systemd/system/mark-"+full+".service", "[Service]\nType=oneshot\nExecStart=/bin/touch "+mark+"\n")
	t.Cleanup(func() { os.Remove(mark) })
	place(t, "/etc/unitc/"+full+".yaml.d/x.yaml", "systemd: {unit: {OnFailure: mark-"+full+".service, StartLimitBurst: 3, StartLimitIntervalSec: 600}}\n")
	c := p.define(t, name, "rootfs: host\nvolumes: ["+dir+":/n]\nrestart: on-failure\ncommand: [sh, -c, 'read n </n/n; echo $$((n+1)) >/n/n; echo run $$n; exit $$((n+3))']"+more, "RestartSec=500ms")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o777)
	place(t, dir+"/n", "0\n")
	_ = os.Chmod(dir+"/n", 0o666)
	c.startAsync()
	// systemd 252 starts it after the last failure, newer ones after each.
	await(t, "the operator's unit was started", func() bool { _, err := os.Stat(mark); return err == nil })
	await(t, "systemd has given up", func() bool { return c.show("SubState") == "failed" })
	// Three, and more where a reload for another test had systemd count anew.
	runs, err := strconv.Atoi(strings.TrimSpace(file(t, dir+"/n")))
	if err != nil || runs < 3 {
		t.Fatalf("%d runs (%v)", runs, err)
	}
	var got, want []string
	for i := range runs {
		restarts := strconv.Itoa(i)
		if i == 0 {
			restarts = ""
		}
		want = append(want, fmt.Sprintf("%d after %s restarts: run %d", i+3, restarts, i))
	}
	await(t, "there is an entry for each failure", func() bool { return len(c.entries()) >= runs })
	ids := map[string]bool{}
	for _, e := range c.entries() {
		// Clean-up counts from 0; a reload that meets a start just then gives the unit one.
		restarts := strings.TrimSuffix("-"+e["UNITC_RESTARTS"], "-0")
		got = append(got, e["UNITC_EXIT_STATUS"]+" after "+strings.TrimPrefix(restarts, "-")+" restarts: "+e["UNITC_LINES"])
		ids[e["UNITC_INVOCATION_ID"]] = true
	}
	if !slices.Equal(got, want) || len(ids) != runs {
		t.Errorf("the entries are %q, not %q", got, want)
	}
	if out := must(t, "journalctl", "-q", "--no-pager", "-o", "cat", "-u", c.unit()); !strings.Contains(out, c.unit()+" failed: exited with status 5") {
		t.Errorf("`journalctl -u` does not show the entry:\n%s", out)
	}
	if out := must(t, "journalctl", "-q", "--no-pager", "-o", "cat", "-u", "unitc-postmortem.service"); strings.Contains(out, "multiple trigger") {
		t.Errorf("PID 1 warns of what several containers share:\n%s", out)
	}
	// Nothing is told twice.
	why(t, c.name)
	if n := len(c.entries()); n != runs {
		t.Errorf("after `unitc why` there are %d entries", n)
	}
}

// A stop, and an end that systemd calls clean, start nothing and say nothing.
func TestCleanEndsStartNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, fresh("clean-end-"+p.String()), "rootfs: host\ncommand: [sh, -c, 'trap \"exit 0\" USR1; trap \"exit 143\" TERM; echo up; while :; do sleep 0.05; done']"+traceless)
		c.start().awaitOutput("up")
		c.signal("USR1")
		c.await("ActiveState", "inactive")
		c.start()
		await(t, "it listens to signals", func() bool { return strings.Count(c.output(), "up\n") == 2 })
		c.stop()
		c.expect(c.unit(), "Result=success", "ExecStopPost=", "OnSuccess=")
		if got := c.entries(); len(got) != 0 {
			t.Errorf("there are entries: %q", got)
		}
	})
}

// `unitc why` tells of a failure that systemd will answer with a restart only
// later.
func TestWhyBeforeTheRestart(t *testing.T) {
	t.Parallel()
	c := scoped.define(t, "why-later", endless+"\nrestart: always"+traceless, "RestartSec=1h").start()
	_ = syscall.Kill(c.mainPID(), syscall.SIGKILL)
	await(t, "it waits for its restart", func() bool { return c.show("SubState") == "auto-restart" })
	if got := why(t, c.name); got["cause"] != "killed by SIGKILL" {
		t.Errorf("%v", got)
	}
}

// PID 1 waits only a moment for a journald that takes nothing, and does not say
// again what it could not: `unitc why` has it from PID 1 itself.
func TestWhyWhatTheJournalLacks(t *testing.T) {
	c := scoped.define(t, "why-unheard", endless+"\nrestart: always"+traceless, "RestartSec=1h").start()
	pid, before := c.mainPID(), len(c.entries())
	deafen(t, func() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		await(t, "it waits for its restart", func() bool { return c.show("SubState") == "auto-restart" })
	})
	must(t, "journalctl", "--sync")
	if out, _ := command(t, "journalctl", "-q", "--no-pager", "-o", "cat", "_PID=1", "UNIT="+c.unit()); strings.Contains(out, "process exited") {
		t.Fatalf("journald has heard of it all the same:\n%s", out)
	}
	for range 2 {
		if got := why(t, c.name); got["cause"] != "killed by SIGKILL" || got["result"] != "signal" {
			t.Errorf("%v", got)
		}
	}
	if n := len(c.entries()) - before; n != 1 {
		t.Errorf("there are %d entries", n)
	}
}

// deafen has journald take nothing meanwhile: it is stopped, and the queue of its
// socket is full.
func deafen(t *testing.T, test func()) {
	t.Helper()
	pid, err := strconv.Atoi(property(t, "systemd-journald.service", "MainPID"))
	if err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	journald := &syscall.SockaddrUnix{Name: "/run/systemd/journal/socket"}
	for sent := 1; sent > 0; { // each socket has a limit of its own, too
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		for sent = 0; err == nil; sent++ {
			err = syscall.Sendto(fd, []byte("MESSAGE=the queue is being filled\nPRIORITY=7\n"), 0, journald)
		}
		if sent--; err != syscall.EAGAIN {
			t.Fatal(err)
		}
	}
	test()
}
