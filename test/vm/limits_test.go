// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// definition is what a test has of one container.
type definition struct{ name, placement, text string }

// container is a definition in one of the two placements.
type container struct {
	t    *testing.T
	name string
	// payload is the unit whose cgroup has the limits.
	payload string
}

var placements = []string{"scope", "service"}

// everywhere runs a test with its payloads in scopes and in services.
func everywhere(t *testing.T, definitions []definition, test func(t *testing.T, c []*container)) {
	var all []definition
	for _, placement := range placements {
		for _, d := range definitions {
			all = append(all, definition{d.name, placement, d.text})
		}
	}
	list := place(t, all...)
	for i, placement := range placements {
		t.Run(placement, func(t *testing.T) { test(t, list[i*len(definitions):][:len(definitions)]) })
	}
}

// place writes definitions, which go with the test. A reload takes an emulated
// machine seconds: there is one for all of a test's, and none when they go, for
// that is the next test's.
func place(t *testing.T, definitions ...definition) (list []*container) {
	t.Helper()
	for _, d := range definitions {
		c := &container{t, d.name + "-" + d.placement, d.name + "-" + d.placement + ".service"}
		if d.placement == "scope" {
			c.payload = "unitc-" + c.name + ".scope"
		}
		path := "/etc/unitc/" + c.name + ".yaml"
		if err := os.WriteFile(path, []byte(d.text+"\nsystemd: {cgroup: "+d.placement+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
		list = append(list, c)
	}
	run(t, "systemctl", "daemon-reload")
	return list
}

// start starts it for as long as the test runs.
func (c *container) start(t *testing.T) {
	t.Helper()
	c.t = t
	t.Cleanup(func() {
		_ = os.WriteFile(c.cgroup()+"/cgroup.kill", []byte("1"), 0) // it may be gone
		run(t, "systemctl", "stop", c.name)
		_ = exec.Command("systemctl", "reset-failed", c.name).Run() // nothing to reset is an error
	})
	if out, err := exec.Command("systemctl", "start", c.name).CombinedOutput(); err != nil {
		said, _ := exec.Command("journalctl", "-q", "-o", "cat", "-u", c.name).Output()
		t.Fatalf("systemctl start %s: %v: %s%s", c.name, err, out, said)
	}
}

// define places a single definition and starts it.
func define(t *testing.T, name, placement, text string) *container {
	t.Helper()
	c := place(t, definition{name, placement, text})[0]
	c.start(t)
	return c
}

func (c *container) show(property string) string {
	c.t.Helper()
	return show(c.t, c.name, property)
}

func (c *container) cgroup() string { return "/sys/fs/cgroup/unitc.slice/" + c.payload }

// stat reads a file of the limits' cgroup; with a key, that line's value.
func (c *container) stat(file, key string) int64 {
	c.t.Helper()
	data, err := os.ReadFile(c.cgroup() + "/" + file)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		value, has := strings.CutPrefix(line, key)
		if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); has && err == nil {
			return n
		}
	}
	c.t.Fatalf("%s has no %q:\n%s", file, key, data)
	return 0
}

// await waits for what nothing announces. An emulated machine is slow, and asking
// takes its processor from what is waited for: most of the time is left to that.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		asked := time.Now()
		if ok() {
			return
		}
		time.Sleep(max(50*time.Millisecond, min(3*time.Since(asked), 2*time.Second)))
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (c *container) awaitFailure() {
	c.t.Helper()
	await(c.t, c.name+" has failed", func() bool { return c.show("ActiveState") == "failed" })
}

const sleeper = "rootfs: host\ncommand: [sh, -c, 'trap exit TERM; sleep infinity & wait']\n"

// "`mem_limit: 64m` and a 1 GiB allocator: it is OOM-killed, its neighbours are
// not, and `systemctl status` says in words that the limit was hit."
func TestMemoryLimit(t *testing.T) {
	everywhere(t, []definition{
		{name: "neighbour", text: sleeper + "mem_limit: 64m"},
		{name: "greedy", text: `rootfs: host
mem_limit: 64m
command: [perl, -e, 'sleep 1; $$x = "x" x (1 << 30); sleep 1000']`},
	}, func(t *testing.T, list []*container) {
		neighbour, c := list[0], list[1]
		neighbour.start(t)
		before := neighbour.show("MainPID")
		c.start(t)
		c.awaitFailure()
		if code, status := c.show("ExecMainCode"), c.show("ExecMainStatus"); code != "2" || status != "9" {
			t.Errorf("it ended by code %s, status %s", code, status)
		}
		await(t, "`systemctl status` tells of the limit", func() bool {
			// It exits with 3 for a unit that has failed.
			said, _ := exec.Command("systemctl", "status", "--full", c.name).Output()
			return strings.Contains(string(said), "the memory limit of 64 MiB was hit")
		})
		if after := neighbour.show("MainPID"); after != before || neighbour.show("ActiveState") != "active" {
			t.Errorf("the neighbour was process %s and is %s", before, after)
		}
	})
}

// "`cpus: 0.5` under load gets half a core (±10 %)."
//
//lab:once
func TestCPULimit(t *testing.T) {
	everywhere(t, []definition{{name: "busy", text: "rootfs: host\ncpus: 0.5\ncommand: [sh, -c, 'while :; do :; done']"}}, func(t *testing.T, list []*container) {
		c := list[0]
		c.start(t)
		used, begin := c.stat("cpu.stat", "usage_usec "), time.Now()
		// A host that takes the machine its processor for a while is in the figure of a
		// short time, and not in that of a longer one.
		share := 0.0
		for range 4 {
			time.Sleep(2500 * time.Millisecond) // the time that is measured
			share = float64(c.stat("cpu.stat", "usage_usec ")-used) / float64(time.Since(begin).Microseconds())
			if math.Abs(share-0.5) <= 0.05 {
				return
			}
		}
		t.Errorf("it got %.3f of a core", share)
	})
}

// "A fork bomb stops at `pids_limit`."
//
//lab:once
func TestPidsLimit(t *testing.T) {
	everywhere(t, []definition{{name: "bomb", text: "rootfs: host\npids_limit: 20\ncommand: [perl, -e, 'while (1) { defined fork or sleep 1 }']"}}, func(t *testing.T, list []*container) {
		c := list[0]
		c.start(t)
		await(t, "a fork was refused", func() bool { return c.stat("pids.events", "max ") > 0 })
		if n := c.stat("pids.current", ""); n > 20 {
			t.Errorf("%d processes", n)
		}
		if state := c.show("ActiveState"); state != "active" {
			t.Errorf("the container is %s", state)
		}
	})
}

// "`systemctl set-property unitc-NAME.scope MemoryMax=` acts at once." Where
// systemd writes memory.max without waiting (O_NONBLOCK, Linux 6.16), the kernel
// looks at the next allocation; so the payload forks all the time.
func TestSetPropertyActsAtOnce(t *testing.T) {
	everywhere(t, []definition{{name: "holder", text: `rootfs: host
mem_limit: 128m
command: [perl, -e, 'vec($$x, 60 << 20, 8) = 1; $$| = 1; print "held\n"; while (1) { (fork // 1) or exit; wait; select undef, undef, undef, 0.2 }']`}}, func(t *testing.T, list []*container) {
		c := list[0]
		c.start(t)
		await(t, "it holds its memory", func() bool {
			return strings.Contains(run(t, "journalctl", "-o", "cat", "-u", c.name), "held")
		})
		run(t, "systemctl", "set-property", "--runtime", c.payload, "MemoryMax=90M")
		if n := c.stat("memory.max", ""); n != 90<<20 {
			t.Errorf("memory.max is %d", n)
		}
		if state := c.show("ActiveState"); state != "active" {
			t.Errorf("with what it has the container is %s", state)
		}
		run(t, "systemctl", "set-property", "--runtime", c.payload, "MemoryMax=16M")
		c.awaitFailure() // it is killed for what it holds
	})
}
