// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

type finding struct{ Area, Check, State, What, Cure string }

func examine(t *testing.T, want int, name string, args ...string) map[string]finding {
	t.Helper()
	out, status := command(t, name, args...)
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != want {
		t.Fatalf("exit status %d, want %d: %v\n%s", status, want, err, out)
	}
	found := map[string]finding{}
	for _, f := range list {
		found[f.Area+"/"+f.Check] = f
	}
	return found
}

// A machine that runs containers is found to be able to.
func TestDoctor(t *testing.T) {
	leavesNothing(t, func() {
		for check, f := range examine(t, 0, "unitc", "doctor", "--json") {
			// The machines of the fast lane have no controllers, and their image
			// store may lie on anything.
			if f.State != "ok" && check != "cgroup/controllers" && check != "cgroup/pressure" && check != "definitions/faults" {
				t.Errorf("%+v", f)
			}
		}
		nobody := examine(t, 0, "setpriv", asNobody("doctor", "--json")...)
		if f := nobody["files/overlay"]; f.State != "unknown" || !strings.Contains(f.Cure, "as root") {
			t.Errorf("as another user: %+v", f)
		}
		if f := nobody["systemd/version"]; f.State != "ok" {
			t.Errorf("as another user: %+v", f)
		}
	})
	const left = "/etc/systemd/system/multi-user.target.wants/verb-gone.service"
	place(t, left, "-> /dev/null")
	if f := examine(t, 0, "unitc", "doctor", "--json")["definitions/links"]; f.State != "warning" || !strings.Contains(f.Cure, "rm "+left) {
		t.Errorf("a link that is left: %+v", f)
	}
	os.Remove(left)
	const mask = "/etc/systemd/system-generators/unitc-generator"
	place(t, mask, "-> /dev/null")
	if f := examine(t, 1, "unitc", "doctor", "--json")["systemd/generator"]; f.State != "failed" || !strings.Contains(f.Cure, "remove the link") {
		t.Errorf("a masked generator: %+v", f)
	}
	os.Remove(mask)
}

// The plot's times are those of the starts.
func TestBootPlot(t *testing.T) {
	defineFor(t, "verb-plot", sleeper)
	must(t, "systemctl", "start", "verb-plot")
	var p struct {
		Units []struct {
			Name  string
			Begun int64 `json:"begun_ns"`
			Scope int64 `json:"launched_ns"`
			Ready int64 `json:"ready_ns"`
		}
	}
	out := must(t, "unitc", "boot", "--json", "verb-plot")
	if err := json.Unmarshal([]byte(out), &p); err != nil || len(p.Units) != 1 {
		t.Fatalf("%v in\n%s", err, out)
	}
	if u := p.Units[0]; u.Name != "verb-plot" || !(0 < u.Begun && u.Begun < u.Scope && u.Scope < u.Ready) {
		t.Errorf("%+v", u)
	}
	if out := must(t, "unitc", "boot"); !strings.Contains(out, ">verb-plot</text>") {
		t.Errorf("the plot is\n%s", out)
	}
	if out := must(t, "unitc", "graph", "--format", "json", "verb-plot"); !strings.Contains(out, `"state": "running"`) {
		t.Errorf("the graph is\n%s", out)
	}
}

// A bus that is not there is said, and those who need none go on.
func TestDeadBus(t *testing.T) {
	defineFor(t, "verb-nobus", sleeper)
	must(t, "systemctl", "start", "verb-nobus")
	// The bus itself stays: the lab needs it.
	without := func(args ...string) (string, int) {
		return command(t, "unshare", append([]string{"-m", "sh", "-c", `mount -t tmpfs none /run/dbus && exec "$@"`, "sh"}, args...)...)
	}
	out, status := without(append([]string{"setpriv"}, asNobody("ps")...)...)
	if status != 1 || !strings.Contains(out, "system bus") || !strings.Contains(out, "dbus.socket") {
		t.Errorf("without a bus, as another user: %d\n%s", status, out)
	}
	for _, args := range [][]string{{"ps", "verb-nobus"}, {"pause", "verb-nobus"}, {"unpause", "verb-nobus"}} {
		if out, status := without(append([]string{"unitc"}, args...)...); status != 0 {
			t.Errorf("root needs no bus, and unitc %q exits with %d\n%s", args, status, out)
		}
	}
}
