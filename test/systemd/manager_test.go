// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ticker writes all the time and tells of signals.
const ticker = `rootfs: host
mem_limit: 64m
command:
  - sh
  - -c
  - |
    trap 'echo got USR1' USR1
    trap 'echo got USR2' USR2
    trap 'echo bye; exit' TERM
    while sleep 0.1; do echo tick; done; echo sleep was signalled`

func (c *container) ticks() int { c.t.Helper(); return strings.Count(c.output(), "tick\n") }

// awaitTicks waits until the payload has written something new.
func (c *container) awaitTicks() {
	c.t.Helper()
	before := c.ticks()
	await(c.t, c.name+" goes on", func() bool { return c.ticks() > before })
}

// "`systemctl kill` … [does] what [it] should."
func TestSystemctlKill(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "kill", ticker).start()
		c.awaitTicks()
		must(t, "systemctl", "kill", "--kill-whom=main", "--signal=USR1", c.unit())
		c.awaitOutput("got USR1\n")
		c.awaitTicks()
		if p.cgroup == "scope" {
			// The service's own processes are the payload's first and the relay, which
			// must live on.
			must(t, "systemctl", "kill", "--signal=USR2", c.unit())
			c.awaitOutput("got USR2\n")
			c.awaitTicks()
		}
		must(t, "systemctl", "kill", c.payloadUnit())
		c.awaitOutput("bye\n")
		c.await("ActiveState", "inactive")
	})
}

// "`freeze`/`thaw` on the scope … do what they should."
func TestFreezeAndThaw(t *testing.T) {
	// Nothing is reloaded meanwhile: PID 1 forgets then who waits for a freeze,
	// which it carries out all the same.
	var list []*container
	for _, p := range placements {
		list = append(list, p.define(t, "freeze", ticker))
	}
	for _, c := range list {
		c.start()
		c.awaitTicks()
		events := "/sys/fs/cgroup" + c.leaf() + "/cgroup.events"
		if out, err := exec.Command("systemctl", "freeze", c.payloadUnit()).CombinedOutput(); err != nil {
			t.Fatalf("systemctl freeze: %v: %s%s", err, out, c.stillRunning())
		}
		c.expect(c.payloadUnit(), "FreezerState=frozen")
		if got := file(t, events); !strings.Contains(got, "frozen 1\n") {
			t.Errorf("the kernel says\n%s", got)
		}
		must(t, "systemctl", "thaw", c.payloadUnit())
		c.expect(c.payloadUnit(), "FreezerState=running")
		if got := file(t, events); !strings.Contains(got, "frozen 0\n") {
			t.Errorf("the kernel says\n%s", got)
		}
		c.awaitTicks()
	}
}

// stillRunning is what the kernel says of processes that should be frozen.
func (c *container) stillRunning() string {
	out := file(c.t, "/sys/fs/cgroup"+c.leaf()+"/cgroup.events")
	for _, pid := range pids(c.leaf()) {
		state, _ := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		where, _ := os.ReadFile(fmt.Sprintf("/proc/%s/wchan", pid))
		out += fmt.Sprintf("%sin %s\n", state, where)
	}
	return out
}

// "`daemon-reload` and `daemon-reexec` under a running container do what they
// should": the container does not notice.
func TestManagerReadsAgainUnderARunningContainer(t *testing.T) {
	for _, verb := range []string{"daemon-reload", "daemon-reexec"} {
		t.Run(verb, func(t *testing.T) {
			var list []*container
			for _, p := range placements {
				list = append(list, p.define(t, "again", ticker).start())
			}
			before := make([]string, len(list))
			for i, c := range list {
				before[i] = c.facts()
			}
			must(t, "systemctl", verb)
			for i, c := range list {
				if after := c.facts(); after != before[i] {
					t.Errorf("%s before:\n%s\nafter:\n%s", c.name, before[i], after)
				}
				c.awaitTicks()
				c.stop()
				c.awaitOutput("bye\n")
				c.expect(c.unit(), "Result=success")
			}
		})
	}
}

// facts are what must not change as long as the container runs.
func (c *container) facts() string {
	c.t.Helper()
	service := must(c.t, "systemctl", "show", "-p", "MainPID", "-p", "SubState", "-p", "InvocationID", "-p", "NRestarts", c.unit())
	payload := must(c.t, "systemctl", "show", "-p", "SubState", "-p", "Delegate", "-p", "MemoryMax", "-p", "TasksMax", "-p", "ControlGroup", "-p", "BindsTo", "-p", "CollectMode", c.payloadUnit())
	if c.cgroup == "scope" {
		payload += fmt.Sprint(pids("/unitc.slice/" + c.unit())) // the relay
	}
	return service + payload
}
