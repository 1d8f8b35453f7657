// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
)

// What specifications say stands in the plan: the node as the host has it, its
// rule on the scope, and a bind mount where nothing else is said.
func TestCDI(t *testing.T) {
	s := definition.Service{Name: "g", RootFS: "/srv/g", Command: []string{"/g"}, GroupAdd: []string{"video"},
		Environment: []definition.Env{{Name: "A", Value: text("mine")}}, CDI: []definition.CDIDevice{{Name: "a.com/b=c", Key: "gpus"}}}
	timeout := 3
	f := Facts{IDStart: 524288, Devices: map[string]Device{"/dev/real": {Type: "c", Major: 195, Minor: 7, Mode: 0o640, GID: 44}}, CDI: &cdi.Edits{
		Env: []string{"A=theirs", "B=1"}, GIDs: []uint32{44},
		Nodes:  []cdi.DeviceNode{{Path: "/dev/shown", HostPath: "/dev/real", Permissions: "rw"}, {Path: "/dev/disk", Type: "b", Major: 8}},
		Mounts: []cdi.Mount{{HostPath: "/lib/x", ContainerPath: "/lib/x", Options: []string{"ro"}}, {HostPath: "t", ContainerPath: "/t", Type: "tmpfs"}},
		Hooks:  []cdi.Hook{{Name: "createContainer", Path: "/hook", Args: []string{"hook", "x"}, Timeout: &timeout}},
	}}
	p, err := Build(&s, f)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, d := range p.Scope.Properties {
		if d.Name == "DeviceAllow" {
			rules = append(rules, d.Value)
		}
	}
	devices := p.Spec.Linux.Devices
	if len(devices) != 2 || devices[0].Path != "/dev/shown" || devices[0].Major != 195 || devices[0].Minor != 7 || *devices[0].FileMode != 0o640 || *devices[0].GID != 44 {
		t.Errorf("devices: %+v", devices)
	}
	mounts := p.Spec.Mounts[len(p.Spec.Mounts)-2:]
	for _, d := range []string{
		cmp.Diff([]string{"/dev/char/195:7 rw", "/dev/block/8:0 rwm"}, rules),
		cmp.Diff([]string{"video", "44"}, p.Groups),
		cmp.Diff([]string{"A=theirs", "B=1"}, p.Spec.Process.Env[len(p.Spec.Process.Env)-2:]),
		cmp.Diff([]specs.Mount{{Destination: "/lib/x", Source: "/lib/x", Type: "bind", Options: []string{"rbind", "ro"}}, {Destination: "/t", Source: "t", Type: "tmpfs"}}, mounts),
		cmp.Diff(&specs.Hooks{CreateContainer: []specs.Hook{{Path: "/hook", Args: []string{"hook", "x"}, Timeout: &timeout}}}, p.Spec.Hooks),
	} {
		if d != "" {
			t.Error(d)
		}
	}
	if !slices.Equal(s.GroupAdd, []string{"video"}) {
		t.Error("the definition was changed")
	}
}

func TestCDIFaults(t *testing.T) {
	node := []cdi.DeviceNode{{Path: "/dev/gone"}}
	for want, c := range map[string]struct {
		edits  cdi.Edits
		cgroup string
	}{
		"/dev/gone, which the specification of the device names, is not on this host": {edits: cdi.Edits{Nodes: node}},
		"asks for intelRdt and netDevices":                                            {edits: cdi.Edits{Unsupported: []string{"intelRdt", "netDevices"}}},
		"drop `systemd: cgroup: service`":                                             {edits: cdi.Edits{Nodes: node}, cgroup: definition.CgroupService},
	} {
		s := definition.Service{Name: "g", RootFS: "/srv/g", Command: []string{"/g"}, CDI: []definition.CDIDevice{{Name: "a.com/b=c", Key: "devices[3]"}}, System: definition.System{Cgroup: c.cgroup}}
		_, err := Build(&s, Facts{CDI: &c.edits})
		var key *KeyError
		if !errors.As(err, &key) || key.Key != "devices[3]" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
