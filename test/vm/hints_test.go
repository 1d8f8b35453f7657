// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A host with as many mounts as fs.mount-max lets a namespace have: the start
// says so, and works again when there is room.
//
//lab:once
func TestLimitOfMounts(t *testing.T) {
	c := define(t, "mounts", "scope", sleeper)
	run(t, "systemctl", "stop", c.name)
	const limit = "/proc/sys/fs/mount-max"
	before, err := os.ReadFile(limit)
	if err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := os.WriteFile(limit, before, 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(limit, []byte(strconv.Itoa(strings.Count(string(mounts), "\n"))), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemctl", "start", c.name).CombinedOutput(); err == nil {
		t.Errorf("it was started: %s", out)
	}
	// It exits with 3 for a unit that has failed.
	said, _ := exec.Command("systemctl", "status", "--full", "--no-pager", c.name).Output()
	if !strings.Contains(string(said), "no space left on device; the limit of mounts is reached: raise /proc/sys/fs/mount-max") {
		t.Errorf("`systemctl status` does not tell of the limit:\n%s", said)
	}
	restore()
	run(t, "systemctl", "start", c.name)
}

// Starts that get no process, or no memory: each says by what limit, and what to do.
//
//lab:once
func TestStartsThatStarve(t *testing.T) {
	const text = "rootfs: host\nnetwork_mode: none\ncommand: [sleep, infinity]\n"
	drop := func(name, line string) {
		dir := "/etc/systemd/system/" + name + ".service.d"
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/test.conf", []byte("[Service]\n"+line+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	drop("no-memory-scope", "MemoryMax=1M")
	wants := map[string][]string{
		"no-second-scope":    {":4:1: error: start-init: init: resource temporarily unavailable; a limit lets it have one process, and with `init: true` there are two: raise `pids_limit:`"},
		"no-thread-service":  {"raise `pids_limit:`"}, // Go's runtime or the step may be the first to miss one
		"no-process-service": {"its limit on processes kept it from starting more", "to do     raise `pids_limit:`"},
		"no-memory-scope":    {"killed: the kernel had no memory left for what unitc runs in the service", "MemoryMax= of a drop-in", "test.conf:2: MemoryMax: it acts on unitc's helper"},
	}
	for _, c := range place(t,
		definition{"no-second", "scope", text + "pids_limit: 1\ninit: true"}, definition{"no-thread", "service", text + "pids_limit: 4"},
		definition{"no-process", "service", text + "pids_limit: 1"}, definition{"no-memory", "scope", text}) {
		if out, err := exec.Command("systemctl", "start", c.name).CombinedOutput(); err == nil {
			t.Errorf("%s starts: %s", c.name, out)
		}
		c.says(wants[c.name])
		run(t, "systemctl", "reset-failed", c.name)
	}
}
