// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// mountinfo shows the mounts of a bundle in the order of its configuration,
// binds of files and of trees among file systems.
func TestMountsShowInTheirOrder(t *testing.T) {
	privately(t, func() {
		tree := volumeWithMount(t)
		for _, mapped := range []bool{false, true} {
			c := newContainer(t)
			if !mapped {
				c.service.UsernsMode = "host"
			}
			must(t, os.WriteFile(tree+"/file", []byte("text"), 0o644))
			bind := func(to, from string, options ...string) specs.Mount {
				return specs.Mount{Destination: to, Type: "bind", Source: from, Options: options}
			}
			tmpfs := func(to string) specs.Mount {
				return specs.Mount{Destination: to, Type: "tmpfs", Source: "tmpfs"}
			}
			added := []specs.Mount{
				tmpfs("/first"), bind("/second", tree, "rbind", "rslave", "ro"), tmpfs("/third"), bind("/fourth", tree+"/file", "bind"),
				bind("/fifth", tree, "bind", "runbindable"), tmpfs("/sixth"), bind("/sixth/below", tree, "rbind", "rro", "nosuid"),
			}
			c.spec = func(p *plan.Plan) {
				p.Root.Kind = plan.RootBundle
				p.Spec.Process.User = specs.User{}
				p.Spec.Mounts = append(p.Spec.Mounts, added...)
			}
			seen := c.run("read=/proc/self/mountinfo", "read=/fourth", "list=/second/sub", "create=/sixth/below/sub/x", "list=/fifth/sub")
			var got, want []string
			for line := range strings.Lines(seen["read=/proc/self/mountinfo"]) {
				if point := strings.Fields(line)[4]; slices.ContainsFunc(added, func(m specs.Mount) bool { return m.Destination == point }) {
					got = append(got, point)
				}
			}
			for _, m := range added {
				want = append(want, m.Destination)
			}
			if !slices.Equal(got, want) {
				t.Errorf("user namespace %t: mountinfo has %q, want %q", mapped, got, want)
			}
			delete(seen, "read=/proc/self/mountinfo")
			for probe, want := range map[string]string{"read=/fourth": "text", "list=/second/sub": "file", "create=/sixth/below/sub/x": unix.ErrnoName(unix.EROFS), "list=/fifth/sub": ""} {
				if seen[probe] != want {
					t.Errorf("user namespace %t: %s gives %q, want %q", mapped, probe, seen[probe], want)
				}
			}
		}
	})
}
