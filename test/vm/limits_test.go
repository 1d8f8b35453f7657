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

// container is a definition in one of the two placements.
type container struct {
	t    *testing.T
	name string
	// payload is the unit whose cgroup has the limits.
	payload string
}

// everywhere runs a test with the payload in a scope and in the service.
func everywhere(t *testing.T, test func(t *testing.T, placement string)) {
	for _, placement := range []string{"scope", "service"} {
		t.Run(placement, func(t *testing.T) { test(t, placement) })
	}
}

// define places a definition and starts it; it goes with the test.
func define(t *testing.T, name, placement, definition string) *container {
	t.Helper()
	c := &container{t, name + "-" + placement, name + "-" + placement + ".service"}
	if placement == "scope" {
		c.payload = "unitc-" + c.name + ".scope"
	}
	path := "/etc/unitc/" + c.name + ".yaml"
	if err := os.WriteFile(path, []byte(definition+"\nsystemd: {cgroup: "+placement+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(c.cgroup()+"/cgroup.kill", []byte("1"), 0) // it may be gone
		run(t, "systemctl", "stop", c.name)
		os.Remove(path)
		run(t, "systemctl", "daemon-reload")
		_ = exec.Command("systemctl", "reset-failed", c.name).Run() // nothing to reset is an error
	})
	run(t, "systemctl", "daemon-reload")
	if out, err := exec.Command("systemctl", "start", c.name).CombinedOutput(); err != nil {
		said, _ := exec.Command("journalctl", "-q", "-o", "cat", "-u", c.name).Output()
		t.Fatalf("systemctl start %s: %v: %s%s", c.name, err, out, said)
	}
	return c
}

func (c *container) show(property string) string {
	c.t.Helper()
	return run(c.t, "systemctl", "show", "--value", "-p", property, c.name)
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
// takes its processors from what is waited for: half of the time is left to that.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; {
		asked := time.Now()
		if ok() {
			return
		}
		time.Sleep(max(50*time.Millisecond, time.Since(asked)))
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

const sleeper = "rootfs: host\ncommand: [sh, -c, 'trap exit TERM; sleep infinity & wait']\n"

// "`mem_limit: 64m` and a 1 GiB allocator: it is OOM-killed, its neighbours are
// not, and `systemctl status` says in words that the limit was hit."
func TestMemoryLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, placement string) {
		neighbour := define(t, "neighbour", placement, sleeper+"mem_limit: 64m")
		before := neighbour.show("MainPID")
		c := define(t, "greedy", placement, `rootfs: host
mem_limit: 64m
command: [perl, -e, 'sleep 1; $$x = "x" x (1 << 30); sleep 1000']`)
		await(t, "the allocator has ended", func() bool { return c.show("ActiveState") == "failed" })
		if code, status := c.show("ExecMainCode"), c.show("ExecMainStatus"); code != "2" || status != "9" {
			t.Errorf("it ended by code %s, status %s", code, status)
		}
		// It exits with 3 for a unit that has failed.
		said, _ := exec.Command("systemctl", "status", "--full", c.name).Output()
		if !strings.Contains(string(said), "the memory limit of 64 MiB was hit") {
			t.Errorf("`systemctl status` does not tell of the limit:\n%s", said)
		}
		if after := neighbour.show("MainPID"); after != before || neighbour.show("ActiveState") != "active" {
			t.Errorf("the neighbour was process %s and is %s", before, after)
		}
	})
}

// "`cpus: 0.5` under load gets half a core (±10 %)."
//
//lab:once
func TestCPULimit(t *testing.T) {
	everywhere(t, func(t *testing.T, placement string) {
		c := define(t, "busy", placement, "rootfs: host\ncpus: 0.5\ncommand: [sh, -c, 'while :; do :; done']")
		used, begin := c.stat("cpu.stat", "usage_usec "), time.Now()
		time.Sleep(10 * time.Second) // the time that is measured
		share := float64(c.stat("cpu.stat", "usage_usec ")-used) / float64(time.Since(begin).Microseconds())
		if math.Abs(share-0.5) > 0.05 {
			t.Errorf("it got %.3f of a core", share)
		}
	})
}

// "A fork bomb stops at `pids_limit`."
//
//lab:once
func TestPidsLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, placement string) {
		c := define(t, "bomb", placement, "rootfs: host\npids_limit: 20\ncommand: [perl, -e, 'while (1) { defined fork or sleep 1 }']")
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
	everywhere(t, func(t *testing.T, placement string) {
		c := define(t, "holder", placement, `rootfs: host
mem_limit: 128m
command: [perl, -e, 'vec($$x, 60 << 20, 8) = 1; $$| = 1; print "held\n"; while (1) { (fork // 1) or exit; wait; select undef, undef, undef, 0.2 }']`)
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
		await(t, "it is killed for what it holds", func() bool { return c.show("ActiveState") == "failed" })
	})
}
