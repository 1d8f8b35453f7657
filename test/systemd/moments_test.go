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
	if job(c.t, "start", c.unit()) || time.Since(begun) > 40*time.Second || c.show("Result") == "timeout" {
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
					if err := unix.Kill(c.process("unitc-relay"), unix.SIGKILL); err != nil {
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
			c := p.define(t, "watched", endless+"\nhealthcheck: {test: [CMD, 'true']}"+quick).start()
			await(t, "nobody watches", func() bool { return c.process("unitc-watch") == 0 && !c.runs("unitc-exec") })
			c.stop()
		})
	})
}

// process is one of the service's with that name, 0 = there is none.
func (c *container) process(name string) int {
	for _, pid := range pids("/unitc.slice/" + c.unit()) {
		if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(comm)) == name {
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}
