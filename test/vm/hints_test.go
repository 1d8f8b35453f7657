// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
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
