// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// A container that runs and whose definition is gone keeps what ends it, and
// cannot be started; nothing else below the state directory makes a unit.
func TestContainersWithoutDefinitions(t *testing.T) {
	h := newHost(t, nil)
	h.place("etc/unitc/known.yaml", "x")
	h.place("etc/unitc/tpl@.yaml", "x")
	launched := func(name, slice, cgroup string) {
		s := definition.Service{Name: name, RootFS: "/srv", StopSignal: "SIGINT", StopGracePeriod: 7 * time.Second, System: definition.System{Slice: slice},
			Source: definition.Source{File: "/etc/unitc/" + name + ".yaml"}}
		h.place("run/unitc/"+name+"/definition.json", string(resolve(nil, &s, nil)))
		if cgroup != "" {
			if err := os.MkdirAll(filepath.Join(h.root, "sys/fs/cgroup", cgroup), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	launched("gone", "", "unitc.slice/gone.service")
	launched("deep", "a-b.slice", "a.slice/a-b.slice/deep.service")
	launched("ended", "", "")
	launched("known", "", "unitc.slice/known.service")
	launched("tpl@x", "", "unitc.slice/tpl@x.service")
	launched("other@x", "", "unitc.slice/other@x.service")
	launched(".run-adhoc", "", "unitc.slice/.run-adhoc.service")
	h.place("run/unitc/damaged/definition.json", "{")
	h.place("run/unitc/definitions/x", "")
	err := Run(Config{Root: h.root, OutDir: h.out, Helper: "/x", StateDir: "/run/unitc", Parse: simple, Report: func(diag.Problem) {}})
	if err != nil {
		t.Fatal(err)
	}
	if names := h.names(); names != ".unitc deep.service gone.service known.service other@x.service tpl@.service" {
		t.Fatalf("units: %s", names)
	}
	text, err := os.ReadFile(h.out + "/gone.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"KillSignal=SIGINT", "TimeoutStopSec=7s", "ExecStopPost=/x clean %N", "RuntimeDirectory=unitc/%N", "Slice=unitc.slice", "Description=Container gone (definition gone: /etc/unitc/gone.yaml)"} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if p := h.resolved("gone").Problems; !strings.HasPrefix(p.String(), "/etc/unitc/gone.yaml: error: the definition of gone is gone; `systemctl stop` it") {
		t.Errorf("a start says %s", p)
	}
}

// A unit that needs no clean-up has it all the same while something runs that
// was launched with more, or nobody can tell as what.
func TestCleanUpOfWhatRuns(t *testing.T) {
	bare := definition.Service{RootFS: "/srv", NetworkMode: "none"}
	bridged, other := bare, bare
	bridged.NetworkMode, other.RootFS = "", "/other"
	launched := func(name string, s definition.Service) string {
		s.Name, s.Source.File = name, "/etc/unitc/"+name+".yaml"
		return string(resolve(nil, &s, nil))
	}
	for name, c := range map[string]struct {
		state string // of what was launched; "" = none
		want  bool
	}{
		"new":      {"", false},
		"same":     {launched("same", bare), false},
		"changed":  {launched("changed", other), false},
		"bridged":  {launched("bridged", bridged), true},
		"damaged":  {"{", true},
		"starting": {"none yet", true},
	} {
		h := newHost(t, nil)
		h.place("etc/unitc/"+name+".yaml", "x")
		switch c.state {
		case "":
		case "none yet":
			h.place("run/unitc/"+name+"/root/x", "")
		default:
			h.place("run/unitc/"+name+"/definition.json", c.state)
		}
		parse := files(map[string]definition.File{name: one(bare)})
		if err := Run(Config{Root: h.root, OutDir: h.out, Helper: "/x", StateDir: "/run/unitc", Parse: parse, Report: func(diag.Problem) {}}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(h.out + "/" + name + ".service")
		if err != nil {
			t.Fatal(err)
		}
		cleans, tells := strings.Contains(string(text), "\nExecStopPost=/x clean %N\n"), strings.Contains(string(text), "\nOnFailure=unitc-postmortem.service\n")
		if cleans != c.want || tells == c.want {
			t.Errorf("%s: clean-up %v, want %v, in\n%s", name, cleans, c.want, text)
		}
	}
}
