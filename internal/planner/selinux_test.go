// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
)

func TestLabels(t *testing.T) {
	contexts := &SELinux{"system_u:system_r:container_t:s0", "system_u:object_r:container_file_t:s0"}
	for _, v := range []struct {
		options        string
		selinux        *SELinux
		process, mount string
		wrong          string
	}{
		{"", contexts, "", "", ""},
		{"label=disable", contexts, "", "", ""},
		{"label=disable", nil, "", "", ""},
		{"label=type:my_t", contexts, "system_u:system_r:my_t:s0:c1,c3", "system_u:object_r:container_file_t:s0:c1,c3", ""},
		{"label:type:my_t", contexts, "system_u:system_r:my_t:s0:c1,c3", "system_u:object_r:container_file_t:s0:c1,c3", ""},
		{"label=level:s0:c7,c9 label=filetype:f_t", contexts, "system_u:system_r:container_t:s0:c7,c9", "system_u:object_r:f_t:s0:c7,c9", ""},
		{"label=user:me_u label=role:me_r", contexts, "me_u:me_r:container_t:s0:c1,c3", "system_u:object_r:container_file_t:s0:c1,c3", ""},
		{"label=type:my_t label=disable", contexts, "", "", ""},
		{"label=type:my_t", nil, "", "", "security_opt[0]: this host runs without SELinux"},
		{"label=type:my_t", &SELinux{}, "", "", "names no contexts for containers"},
		{"label=colour:red", contexts, "", "", "unknown part"},
		{"label=nested", contexts, "", "", "unknown label"},
	} {
		s := &definition.Service{Name: "web", RootFS: "/srv/web", Command: []string{"/x"}}
		s.SecurityOpt = strings.Fields(v.options)
		s.Volumes = []definition.Volume{
			{Type: definition.VolumeBind, Source: "/srv/a", Target: "/a", SELinux: "Z"},
			{Type: definition.VolumeBind, Source: "/srv/b", Target: "/b", SELinux: "z"},
			{Type: definition.VolumeBind, Source: "/srv/c", Target: "/c"},
		}
		p, err := Build(s, Facts{SELinux: v.selinux, IDStart: 4 * idrange.Size})
		if v.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), v.wrong) {
				t.Errorf("%s: %v", v.options, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.options, err)
			continue
		}
		if got := p.Spec.Process.SelinuxLabel; got != v.process {
			t.Errorf("%s: the process is %s", v.options, got)
		}
		if got := p.Spec.Linux.MountLabel; got != v.mount {
			t.Errorf("%s: mounts are %s", v.options, got)
		}
		shared := ""
		if v.mount != "" {
			shared = withPart(v.mount, 3, "s0")
		}
		if p.Relabel["/a"] != v.mount || p.Relabel["/b"] != shared || p.Relabel["/c"] != "" {
			t.Errorf("%s: sources are %v", v.options, p.Relabel)
		}
	}
}

// Each range of ids has a pair of categories of its own.
func TestCategoriesDiffer(t *testing.T) {
	seen := map[string]uint32{}
	for n := uint32(1); n < 32768; n++ {
		b := &builder{f: Facts{IDStart: n * idrange.Size}}
		c := b.categories()
		if seen[c] != 0 {
			t.Fatalf("%s is of %d and of %d", c, seen[c], n)
		}
		seen[c] = n
	}
}
