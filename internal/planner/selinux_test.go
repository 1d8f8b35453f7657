// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/idrange"
)

func TestLabels(t *testing.T) {
	contexts := &SELinux{Process: "system_u:system_r:container_t:s0", File: "system_u:object_r:container_file_t:s0"}
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

// Where the kernel has the policy a container has a label without asking, as
// Podman's have. What shares the host's processes or memory has none, what shares
// another's the level of that one.
func TestDefaultLabel(t *testing.T) {
	known := &SELinux{Process: "system_u:system_r:container_t:s0", File: "system_u:object_r:container_file_t:s0", Loaded: true}
	const own = "system_u:system_r:container_t:s0:c1,c3"
	for name, v := range map[string]struct {
		change func(*definition.Service, *Facts)
		label  string
	}{
		"default":        {func(*definition.Service, *Facts) {}, own},
		"not loaded":     {func(_ *definition.Service, f *Facts) { f.SELinux = &SELinux{Process: known.Process, File: known.File} }, ""},
		"no SELinux":     {func(_ *definition.Service, f *Facts) { f.SELinux = nil }, ""},
		"disabled":       {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{"label=disable"} }, ""},
		"another option": {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{"no-new-privileges=false"} }, own},
		"a type": {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{"label=type:my_t"} },
			"system_u:system_r:my_t:s0:c1,c3"},
		"privileged":           {func(s *definition.Service, _ *Facts) { s.Privileged = true }, ""},
		"privileged, and type": {func(s *definition.Service, _ *Facts) { s.Privileged, s.SecurityOpt = true, []string{"label=type:my_t"} }, "system_u:system_r:my_t:s0:c1,c3"},
		"the host's processes": {func(s *definition.Service, _ *Facts) { s.PID = "host" }, ""},
		"the host's memory":    {func(s *definition.Service, _ *Facts) { s.IPC = "host" }, ""},
		"another's": {func(s *definition.Service, f *Facts) {
			s.IPC, f.Joined = "service:db", Joined{IPC: "/proc/1/ns/ipc", Level: "s0:c7,c9"}
		}, "system_u:system_r:container_t:s0:c7,c9"},
	} {
		s := &definition.Service{Name: "web", RootFS: "/srv/web", Command: []string{"/x"}, Volumes: []definition.Volume{
			{Type: definition.VolumeNamed, Source: "data", Target: "/data"},
			{Type: definition.VolumeNamed, Source: "own", Target: "/own", SELinux: "Z"},
			{Type: definition.VolumeBind, Source: "/srv/a", Target: "/a"},
		}}
		f := Facts{SELinux: known, IDStart: 4 * idrange.Size, Volumes: map[string]VolumeSource{"/data": {Path: "/v/data"}, "/own": {Path: "/v/own"}}}
		v.change(s, &f)
		p, err := Build(s, f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := p.Spec.Process.SelinuxLabel; got != v.label {
			t.Errorf("%s: the process is %q", name, got)
		}
		shared := ""
		if v.label != "" {
			shared = "system_u:object_r:container_file_t:s0"
		}
		if p.LabelNew["/data"] != shared || p.LabelNew["/own"] != "" || p.LabelNew["/a"] != "" || p.Relabel["/own"] != p.Spec.Linux.MountLabel {
			t.Errorf("%s: sources are %v and, where they are new, %v", name, p.Relabel, p.LabelNew)
		}
	}
}

func TestContainerLevel(t *testing.T) {
	for label, want := range map[string]string{
		"system_u:system_r:container_t:s0:c1,c2": "s0:c1,c2", "system_u:system_r:unconfined_service_t:s0": "",
		"unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023": "", "unitc-default (enforce)": "", "": "",
	} {
		if got := ContainerLevel(label); got != want {
			t.Errorf("%q: %q", label, got)
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
