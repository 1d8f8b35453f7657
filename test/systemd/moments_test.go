// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A helper that is killed when the payload is there, or about to be, and nobody has
// said so takes it along: the start fails at once, and not when it times out.
//
//lab:once
func TestStartFailsWithItsHelper(t *testing.T) {
	own, foreign := []string{"await-exec", "prepare-relay", "send-ready"}, []string{"ignore-stop-signals", "start-container", "prepare-relay", "send-ready"}
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, p := range placements {
				for name, kind := range map[string]struct {
					more  string
					steps []string
				}{
					"plain":   {"", own},
					"init":    {"\ninit: true", own},
					"pid":     {"\ninit: true\npid: host", own},
					"health":  {"\nhealthcheck: {test: [CMD, 'true']}", own},
					"foreign": {"\nruntime: crun", foreign},
				} {
					c := p.defineTemplate(t, "takes-along-"+name+"@", endless+kind.more+quick, "TimeoutStartSec=60")
					for _, step := range kind.steps {
						t.Run(c.name+step, func(t *testing.T) {
							t.Parallel()
							c.instance(t, step).failsKilledAt(step)
						})
					}
				}
			}
		})
	})
}

func (c *container) failsKilledAt(step string) {
	c.t.Helper()
	c.arm("UNITC_STOP_AT", step)
	begun := time.Now()
	if job(c.t, "start", c.unit()) { // a relay whose first check was quicker had said READY=1
		c.await("ActiveState", "failed")
	}
	if time.Since(begun) > 40*time.Second || c.show("Result") == "timeout" {
		c.t.Errorf("killed at %s the start ends with %s after %v", step, c.show("Result"), time.Since(begun))
	}
	c.disarm()
	if !job(c.t, "start", c.unit()) {
		c.t.Errorf("%s does not start any more", c.unit())
	}
	c.expectSleep()
	c.end()
}

// A relay that is killed before it could send READY=1 is missed at once. Who watches
// it is gone when the container is up.
func TestStartFailsWithItsRelay(t *testing.T) {
	leavesNothing(t, func() {
		everywhere(t, func(t *testing.T, p placement) {
			for _, c := range []*container{
				p.define(t, "missed-unwell", endless+"\nhealthcheck: {test: [CMD, 'false'], start_period: 100s}"+quick),
				p.defineProbe(t, "missed-silent", endless+quick, "notify: container"),
				// Where memory is no program the helper itself stays.
				p.define(t, "missed-noexec", endless+"\nhealthcheck: {test: [CMD, 'false'], start_period: 100s}"+quick, "SystemCallFilter=~execveat", "SystemCallErrorNumber=EACCES"),
			} {
				watcher := "unitc-watch"
				if strings.Contains(c.name, "noexec") {
					watcher = "unitc-exec"
				}
				for range 3 {
					must(t, "systemctl", "start", "--no-block", c.unit())
					await(t, "the relay is watched", func() bool { return c.process(watcher) != 0 && strings.HasPrefix(c.show("StatusText"), "starting: ") })
					begun := time.Now()
					relay := c.process("unitc-relay")
					if relay == 0 {
						t.Fatal("there is no relay")
					}
					if err := unix.Kill(relay, unix.SIGKILL); err != nil {
						t.Fatal(err)
					}
					c.await("ActiveState", "failed")
					if took := time.Since(begun); took > 30*time.Second {
						t.Errorf("%s has failed after %v", c.name, took)
					}
					c.expect(c.unit(), "Result=signal")
					if status := c.show("StatusText"); !strings.Contains(status, "unitc-relay was killed") {
						t.Errorf("its status is %q", status)
					}
					must(t, "systemctl", "reset-failed", c.unit())
				}
			}
			quiet := p.define(t, "watched-ends", "rootfs: host\ncommand: [sh, -c, 'exit 3']\nhealthcheck: {test: [CMD, 'false'], start_period: 100s}")
			for range 20 {
				if job(t, "start", quiet.unit()) {
					t.Error("what ended has started")
				}
			}
			if log := quiet.log(); strings.Contains(log, "unitc-relay was killed") {
				t.Errorf("its end is taken for the relay's:\n%s", log)
			}
			c := p.define(t, "watched", endless+"\nhealthcheck: {test: [CMD, 'true']}"+quick).start()
			await(t, "nobody watches", func() bool { return c.process("unitc-watch") == 0 && !c.runs("unitc-exec") })
			c.stop()
		})
	})
}

// process is the first one of the service's with that name, 0 = there is none. What
// it has forked is called the same until it is another program.
func (c *container) process(name string) (first int) {
	for _, pid := range pids("/unitc.slice/" + c.unit()) {
		if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(comm)) == name {
			if n, _ := strconv.Atoi(pid); first == 0 || n < first {
				first = n
			}
		}
	}
	return first
}

// Who makes a check has none of the relay's descriptors but the payload's.
//
//lab:once
func TestChecksHaveNothingOfTheRelays(t *testing.T) {
	c := scoped.define(t, "bare", endless+"\nhealthcheck: {test: [CMD, sleep, '20'], timeout: 30s}"+quick)
	must(t, "systemctl", "start", "--no-block", c.unit())
	probe := 0
	await(t, "it is being checked", func() bool {
		for _, pid := range pids("/unitc.slice/" + c.unit()) {
			if args, _ := os.ReadFile("/proc/" + pid + "/cmdline"); strings.HasPrefix(string(args), helper+"\x00probe\x00") {
				probe, _ = strconv.Atoi(pid)
			}
		}
		return probe != 0 && len(processes(t, c.leaf())) > 1
	})
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(probe) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n, _ := strconv.Atoi(e.Name()); n > 99 {
			to, _ := os.Readlink("/proc/" + strconv.Itoa(probe) + "/fd/" + e.Name())
			t.Errorf("descriptor %d is %s", n, to)
		}
	}
}

// A journald that stands still holds up no start and no stop, and `unitc why` no
// longer than it says.
//
//lab:once
func TestStartsWhileJournaldStandsStill(t *testing.T) { // alone: nobody's lines are read meanwhile
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "journald", "rootfs: host\ncommand: [sh, -c, 'trap exit TERM; i=0; while :; do echo line $$i; i=$$((i+1)); sleep 0.1; done']")
			fails := scoped.define(t, "journald-fails", "rootfs: host\ncommand: [/there/is/none]")
			journald, err := strconv.Atoi(property(t, "systemd-journald.service", "MainPID"))
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Kill(journald, unix.SIGCONT)
			if err := unix.Kill(journald, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			c.start()
			if job(t, "start", fails.unit()) {
				t.Error("what is not there has started")
			}
			c.stop()
			c.start()
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("they took %v", took)
			}
			begun = time.Now()
			out, _ := command(t, "timeout", "110", "unitc", "why", c.name)
			if took := time.Since(begun); took > 40*time.Second || !strings.Contains(out, "systemd-journald does not answer") {
				t.Errorf("after %v unitc why says %s", took, out)
			}
			if err := unix.Kill(journald, unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			await(t, "the journal has its lines", func() bool { return strings.Contains(c.output(), "line 1\n") })
			await(t, "the journal says why", func() bool { return strings.Contains(fails.log(), "/there/is/none: no such file") })
			c.stop()
		})
	})
}
