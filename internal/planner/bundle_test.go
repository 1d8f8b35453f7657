// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

func bundleFacts(namespaces ...specs.LinuxNamespace) Facts {
	return Facts{Bundle: &Bundle{
		Spec: &specs.Spec{
			Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"}, Root: &specs.Root{Path: "/srv/bundle/rootfs"},
			Linux:       &specs.Linux{Namespaces: namespaces},
			Annotations: map[string]string{"org.example.a": "1"},
		},
		Limits:  []definition.Directive{{Name: "TasksMax", Value: "7"}, {Name: "MemoryMax", Value: "100"}},
		Devices: []string{"c 10:229 rw"},
	}}
}

func scopeLines(p *plan.Plan) []string {
	var lines []string
	for _, d := range p.Scope.Properties {
		lines = append(lines, d.Name+"="+d.Value)
	}
	return lines
}

// The definition's own limits come last and win; unitc's default of processes
// does not.
func TestBundleLimits(t *testing.T) {
	s := definition.Service{Name: "b", Bundle: "/srv/bundle", Resources: definition.Resources{MemLimit: 50}, Labels: []definition.KeyValue{{Key: "org.example.b", Value: "2"}}}
	p, err := Build(&s, bundleFacts())
	if err != nil {
		t.Fatal(err)
	}
	lines := scopeLines(p)
	if got := slices.Index(lines, "MemoryMax=50"); got < slices.Index(lines, "MemoryMax=100") {
		t.Errorf("the bundle's limit comes last: %q", lines)
	}
	for _, want := range []string{"TasksMax=7", "DeviceAllow=/dev/char/10:229 rw", "DevicePolicy=closed"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q lacks %s", lines, want)
		}
	}
	if slices.Contains(lines, "TasksMax=2048") {
		t.Errorf("unitc's default stands beside the bundle's own limit: %q", lines)
	}
	if p.Bundle != "/srv/bundle" || p.Root.Kind != plan.RootBundle || p.Root.Path != "/srv/bundle/rootfs" {
		t.Errorf("the plan is of %q with root %+v", p.Bundle, p.Root)
	}
	if p.Spec.Annotations["org.example.a"] != "1" || p.Spec.Annotations["org.example.b"] != "2" {
		t.Errorf("annotations are %v", p.Spec.Annotations)
	}
	one := int64(1)
	s.Resources.PidsLimit = &one
	if p, err = Build(&s, bundleFacts()); err != nil || !slices.Contains(scopeLines(p), "TasksMax=1") {
		t.Errorf("pids_limit of the definition is lost: %v", err)
	}
}

func TestBundleNetwork(t *testing.T) {
	own := specs.LinuxNamespace{Type: specs.NetworkNamespace}
	s := definition.Service{Name: "b", Bundle: "/srv/bundle"}
	p, err := Build(&s, bundleFacts(own))
	if err != nil || p.Network != nil {
		t.Errorf("a bundle is connected that does not ask for it: %+v, %v", p, err)
	}
	s.Ports = []definition.Port{{Target: 80}}
	p, err = Build(&s, bundleFacts(own))
	if err != nil || p.Network == nil || len(p.Network.Ports) != 1 || p.Names == nil {
		t.Errorf("ports of a bundle: %+v, %v", p, err)
	}
	var key *KeyError
	for _, namespaces := range [][]specs.LinuxNamespace{nil, {{Type: specs.NetworkNamespace, Path: "/run/netns/x"}}} {
		if _, err = Build(&s, bundleFacts(namespaces...)); !errors.As(err, &key) || key.Key != "networks" {
			t.Errorf("ports without a namespace to connect: %v", err)
		}
	}
	if _, err = Build(&definition.Service{Name: "b", Bundle: "/srv/bundle", DNS: []string{"192.0.2.1"}}, bundleFacts(own)); !errors.As(err, &key) || key.Key != "networks" {
		t.Errorf("names without a network: %v", err)
	}
}

// Another runtime may not know a part of the specification, and say nothing.
func TestBundleForOthers(t *testing.T) {
	for part, test := range map[string]struct {
		set     func(*specs.Spec)
		refused string // by whom it is passed over
	}{
		"linux.netDevices":   {func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth1": {}} }, "crun runc"},
		"linux.memoryPolicy": {func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} }, "crun runc"},
		"domainname":         {func(s *specs.Spec) { s.Domainname = "x" }, "runc"},
		"process.scheduler":  {func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{} }, "crun runc"},
		"process.ioPriority": {func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{} }, "crun runc"},
		"linux.personality":  {func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{} }, "runc"},
	} {
		for _, runtime := range []string{"", "crun", "/usr/bin/crun", "runc"} {
			f := bundleFacts(specs.LinuxNamespace{Type: specs.NetworkNamespace})
			test.set(f.Bundle.Spec)
			_, err := Build(&definition.Service{Name: "b", Bundle: "/srv/bundle", Runtime: runtime}, f)
			var key *KeyError
			refused := errors.As(err, &key) && key.Key == "runtime" && strings.Contains(key.What, part)
			if want := runtime != "" && strings.Contains(test.refused, path.Base(runtime)); refused != want || !want && err != nil {
				t.Errorf("%s by %q: %v", part, runtime, err)
			}
		}
	}
	for runtime, refused := range map[string]bool{"": false, "crun": false, "runc": true} {
		s := services["host"]
		s.Domainname, s.Runtime = "example.org", runtime
		var key *KeyError
		if _, err := Build(&s, facts); (errors.As(err, &key) && key.Key == "domainname") != refused {
			t.Errorf("domainname by %q: %v", runtime, err)
		}
	}
}

// What `unitc spec` writes has the same root when it comes back.
func TestExportAndBack(t *testing.T) {
	s := services["host"]
	p, err := Build(&s, facts)
	if err != nil {
		t.Fatal(err)
	}
	root := p.Root
	if err := Export(p); err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Spec.Mounts {
		if strings.HasPrefix(m.Source, "/run/unitc/hello/") {
			t.Errorf("%s is mounted from the unit's own files", m.Destination)
		}
	}
	p.Spec.Linux.Resources = nil
	f := Facts{Bundle: &Bundle{Spec: p.Spec}}
	back, err := Build(&definition.Service{Name: "back", Bundle: "/srv/back"}, f)
	if err != nil {
		t.Fatal(err)
	}
	if back.Root.Kind != root.Kind || back.Root.Path != root.Path {
		t.Errorf("the root was %+v and is %+v", root, back.Root)
	}
}
