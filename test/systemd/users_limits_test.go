// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"path/filepath"
	"strings"
	"testing"
)

// Limits of a user's container that were changed while it runs end with it, by
// update-limits and by apply, but for those that are kept.
func TestUserLimits(t *testing.T) {
	s := newSession(t)
	const unit = "unitc-limits.scope"
	define := func(limit string) {
		s.define("limits.yaml", "rootfs: host\nnetwork_mode: none\ncommand: [sleep, '1000']\nstop_grace_period: 0s\nmem_limit: "+limit+"\n")
	}
	has := func(when, name, want string) {
		t.Helper()
		if got := s.property(unit, name); got != want {
			t.Errorf("%s %s is %s, want %s", when, name, got, want)
		}
	}
	define("64m")
	s.must("systemctl", "--user", "start", "limits")
	pid := s.property("limits", "MainPID")
	s.must("unitc", "--user", "update-limits", "limits", "mem_limit=32m")
	has("after update-limits", "MemoryMax", "33554432")
	if out, status := s.run("unitc", "--user", "update-limits", "limits", "mem_limt=1m"); status != 2 || !strings.Contains(out, "did you mean mem_limit") {
		t.Errorf("a mistyped limit: %d\n%s", status, out)
	}
	define("96m")
	s.must("unitc", "--user", "apply", "limits")
	has("after apply", "MemoryMax", "100663296")
	if now := s.property("limits", "MainPID"); now != pid {
		t.Error("apply has restarted it")
	}
	if left, _ := filepath.Glob(sessionRun + "/systemd/user.control/*"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	define("128m")
	s.must("systemctl", "--user", "restart", "limits")
	has("of the next start", "MemoryMax", "134217728")
	s.must("unitc", "--user", "update-limits", "--persist", "limits", "pids_limit=77")
	s.must("systemctl", "--user", "restart", "limits")
	has("what is kept:", "TasksMax", "77")
	s.must("systemctl", "--user", "stop", "limits")
	s.isGone("limits")
	if left, _ := filepath.Glob(sessionRun + "/systemd/*/" + unit + ".d"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}
