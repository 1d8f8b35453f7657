// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// What is read back stops the start when it is not what the configuration asks
// for: a protection is left away, and what reads it back is not.
func TestReadBacksStopTheStart(t *testing.T) {
	plain := func(*target) {}
	hostIDs := func(c *target) { c.hostIDs() }
	for _, test := range []struct {
		off, step string
		prepare   func(*target)
	}{
		{"new-net", "verify-namespaces", hostIDs},
		{"new-ipc", "verify-namespaces", hostIDs},
		{"new-uts", "verify-namespaces", hostIDs},
		{"new-pid", "verify-namespaces", plain},
		{"unshare-cgroup", "verify-namespaces", plain},
		{"enter-user-namespace", "verify-namespaces", plain},
		{"enter-time-namespace", "verify-namespaces", func(c *target) {
			c.spec = func(s *specs.Spec) {
				s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			}
		}},
		{"set-no-new-privs", "verify-privileges", plain},
		{"drop-bounding-set", "verify-privileges", plain},
		{"set-capabilities", "verify-privileges", plain},
		{"clear-inherited", "verify-privileges", func(c *target) { c.hostIDs().caller = credentials("!capabilities") }},
		{"drop-groups", "verify-privileges", func(c *target) {
			c.hostIDs().caller = credentials("!groups")
			c.spec = asUser(1000)
		}},
		{"set-user", "verify-privileges", func(c *target) { c.spec = asUser(1000) }},
		{"readonly-paths", "verify-privileges", hostIDs},
		{"readonly-root", "set-rootfs-readonly", func(c *target) { c.service.ReadOnly = true }},
		{"close-descriptors", "verify-descriptors", func(c *target) { c.hostIDs().caller = leak(t, "/", leakedFD) }},
		{"directory-inside", "", func(c *target) { c.service.WorkingDir = "/srv" }}, // nothing is wrong with it
	} {
		t.Run(test.off, func(t *testing.T) {
			t.Parallel()
			c := newTarget(t, test.off)
			test.prepare(c)
			seen, err := c.start("cwd")
			if test.step == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.step+": ") {
				t.Errorf("without it the payload saw %v; want an error of %s, got %v", seen, test.step, err)
			}
		})
	}
}
