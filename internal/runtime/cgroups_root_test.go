// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/plan"
)

// The cgroup file system comes behind all other mounts, and is what they and the
// lists of paths say of it all the same.
func TestWhatIsSaidOfTheCgroups(t *testing.T) {
	const cgroups = "/sys/fs/cgroup"
	writable := func(s *specs.Spec) {
		for i, m := range s.Mounts {
			if m.Destination == cgroups {
				s.Mounts[i].Options = []string{"nosuid"}
			}
		}
		s.Linux.ReadonlyPaths, s.Linux.MaskedPaths = nil, nil
	}
	for what, test := range map[string]struct {
		change func(*specs.Spec)
		want   map[string]string
	}{
		"writable":  {func(*specs.Spec) {}, map[string]string{"create=" + cgroups + "/x": "EACCES", "write=" + cgroups + "/cgroup.procs": "EINVAL"}}, // cgroupfs has no files to make
		"read-only": {func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{cgroups + "/"} }, map[string]string{"create=" + cgroups + "/x": "EROFS", "write=" + cgroups + "/cgroup.procs": "EROFS"}},
		"a read-only file": {func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{cgroups + "/cgroup.procs"} },
			map[string]string{"create=" + cgroups + "/x": "EACCES", "write=" + cgroups + "/cgroup.procs": "EROFS"}},
		"masked":           {func(s *specs.Spec) { s.Linux.MaskedPaths = []string{cgroups} }, map[string]string{"list=" + cgroups: ""}},
		"masked as a part": {func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/sys/fs"} }, map[string]string{"list=/sys/fs": ""}},
		"covered": {func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: cgroups, Type: "tmpfs", Source: "tmpfs"})
		}, map[string]string{"create=" + cgroups + "/x": "ok"}},
		"twice": {func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/srv", Type: "cgroup2", Source: "cgroup", Options: []string{"ro"}})
		}, map[string]string{"write=/srv/cgroup.procs": "EROFS", "write=" + cgroups + "/cgroup.procs": "EINVAL"}},
	} {
		c := newContainer(t)
		c.service.UsernsMode = "host"
		c.spec = func(p *plan.Plan) { writable(p.Spec); test.change(p.Spec) }
		for probe, got := range c.run(keys(test.want)...) {
			if got != test.want[probe] {
				t.Errorf("%s: %s is %q, want %q", what, probe, got, test.want[probe])
			}
		}
	}
	c := newContainer(t)
	c.service.Command, c.service.SecurityOpt = []string{"/payload", "payload"}, []string{"mask=" + cgroups + "/cgroup.procs"}
	if out, err := c.exec(); err == nil || !strings.Contains(err.Error(), "shows all or nothing") {
		t.Errorf("a file of a cgroup is to be masked: %v: %s", err, out)
	}
}
