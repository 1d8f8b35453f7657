// SPDX-License-Identifier: Apache-2.0

package definition

import "testing"

func TestProblemIsAtTheNearestKey(t *testing.T) {
	s := Service{Source: Source{File: "/etc/unitc/web.yaml", Line: 1, Col: 1, Lines: NewLines([]Line{
		{"volumes", Position{Line: 4, Col: 3}},
		{"volumes[1].source", Position{File: "/etc/unitc/web.yaml.d/a.yaml", Line: 2, Col: 9}},
	})}}
	for path, want := range map[string]string{
		"volumes[1].source": "/etc/unitc/web.yaml.d/a.yaml:2:9: error: volumes[1].source: x; y",
		"volumes[0].target": "/etc/unitc/web.yaml:4:3: error: volumes[0].target: x; y",
		"command":           "/etc/unitc/web.yaml:1:1: error: command: x; y",
		"":                  "/etc/unitc/web.yaml:1:1: error: x; y",
	} {
		if got := s.Problem(path, "x", "y").String(); got != want {
			t.Errorf("%q is at %s, want %s", path, got, want)
		}
	}
}

func TestScopeName(t *testing.T) {
	for want, s := range map[string]Service{
		"unitc-web.scope": {Name: "web"}, "unitc-worker:1.scope": {Name: "worker@", Instance: "1"},
		`unitc-worker:a\x2db\x40c.scope`: {Name: "worker@", Instance: `a\x2db@c`},
	} {
		if got := s.ScopeName(); got != want {
			t.Errorf("the scope of %s%s is %s, want %s", s.Name, s.Instance, got, want)
		}
	}
}

func TestPathsOfAProject(t *testing.T) {
	for _, c := range []struct{ project, service, key, want string }{
		{"", "web", "ports[0]", "ports[0]"}, {"blog", "web", "ports[0]", "services.web.ports[0]"}, {"blog", "a.b", "ports", `services["a.b"].ports`}, {"blog", "web", "", "services.web"},
	} {
		s := Service{Project: c.project, Key: c.service}
		if got := s.Problem(c.key, "", "").Path; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
