// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestControllers(t *testing.T) {
	b, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Fields(string(b))
	for _, want := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(have, want) {
			t.Errorf("no controller %s among %v", want, have)
		}
	}
}

// The lab's own promise: what was written before a reboot is there after it.
func TestBootKeepsTheDisk(t *testing.T) {
	const file, content = "/var/lib/unitc-lab/kept", "across the reboot"
	var before string
	phases(t, func(t *testing.T) {
		before = run(t, "cat", "/proc/sys/kernel/random/boot_id")
		if err := os.WriteFile(file, []byte(content+" of "+before), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		old, ok := strings.CutPrefix(string(b), content+" of ")
		if !ok {
			t.Fatalf("%s holds %q", file, b)
		}
		if now := run(t, "cat", "/proc/sys/kernel/random/boot_id"); now == old {
			t.Errorf("boot %s was not followed by another", old)
		}
		// Its exit status says the same as its word.
		if got, _ := exec.Command("systemctl", "is-system-running", "--wait").Output(); string(got) != "running\n" {
			t.Errorf("the system is %s; what has failed:\n%s", got, run(t, "systemctl", "--failed", "--no-pager"))
		}
	})
}
