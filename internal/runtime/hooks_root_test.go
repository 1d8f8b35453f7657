// SPDX-License-Identifier: Apache-2.0

//lint:file-ignore SA1019 prestart hooks are deprecated, not gone: the specification still has them run.

package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/plan"
)

// hook appends what it sees to a file: its point, its root, the state.
func hook(script string) []specs.Hook {
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}}
}

func TestHooksAtAllPoints(t *testing.T) {
	c := newContainer(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	record := func(point string) []specs.Hook {
		return hook("cat > " + dir + "/" + point + "; readlink /proc/self/ns/net > " + dir + "/" + point + ".net; hostname > " + dir + "/" + point + ".name")
	}
	hooks := &specs.Hooks{
		Prestart: record("prestart"), CreateRuntime: record("createRuntime"), CreateContainer: record("createContainer"),
		StartContainer: []specs.Hook{{Path: "/payload", Args: []string{"payload", "payload", "create=/started", "pid"}}},
		Poststart:      record("poststart"), Poststop: record("poststop"),
	}
	c.spec = func(p *plan.Plan) {
		p.Spec.Hooks = hooks
		p.Spec.Annotations = map[string]string{"a": "b"}
		if err := PostStop(p.Spec, "test", "/bundle"); err != nil {
			t.Error(err)
		}
	}
	c.service.Command = []string{"/payload", "payload", "stat=/started"}
	if out, err := c.exec(); err != nil || strings.Contains(string(out), "ENOENT") {
		t.Fatalf("startContainer did not run: %s %v", out, err)
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for point, want := range map[string]specs.ContainerState{
		"prestart": specs.StateCreated, "createRuntime": specs.StateCreating, "createContainer": specs.StateCreated,
		"poststart": specs.StateRunning, "poststop": specs.StateStopped,
	} {
		data, err := os.ReadFile(filepath.Join(dir, point))
		if err != nil {
			t.Errorf("%s: %v", point, err)
			continue
		}
		var state specs.State
		if err := json.Unmarshal(data, &state); err != nil {
			t.Errorf("%s: state %q: %v", point, data, err)
			continue
		}
		if state.Status != want || state.ID != "test" || state.Bundle != "/bundle" || state.Annotations["a"] != "b" || (state.Pid == 0) != (point == "poststop") {
			t.Errorf("%s: state %s", point, data)
		}
		ns, _ := os.ReadFile(filepath.Join(dir, point+".net"))
		if inside := strings.TrimSpace(string(ns)) != host; inside != (point == "createContainer") {
			t.Errorf("%s ran in network namespace %s, the host's is %s", point, ns, host)
		}
	}
}

func TestFailingHooksStopTheStart(t *testing.T) {
	second := 1
	for point, set := range map[string]func(*specs.Hooks, []specs.Hook){
		"prestart":        func(h *specs.Hooks, l []specs.Hook) { h.Prestart = l },
		"createRuntime":   func(h *specs.Hooks, l []specs.Hook) { h.CreateRuntime = l },
		"createContainer": func(h *specs.Hooks, l []specs.Hook) { h.CreateContainer = l },
	} {
		for script, word := range map[string]string{"exit 3": "3", "exec sleep 30": "time"} {
			c := newContainer(t)
			c.service.Command = []string{"/payload", "payload", "create=/ran"}
			c.spec = func(p *plan.Plan) {
				l := hook(script)
				l[0].Timeout = &second
				p.Spec.Hooks = &specs.Hooks{}
				set(p.Spec.Hooks, l)
			}
			begin := time.Now()
			_, err := c.exec()
			if err == nil || !strings.Contains(err.Error(), point) || (!strings.Contains(err.Error(), word) && !strings.Contains(err.Error(), "within")) {
				t.Errorf("%s, %s: %v", point, script, err)
			}
			if time.Since(begin) > 20*time.Second {
				t.Errorf("%s, %s: the time-out did not end it", point, script)
			}
			if _, err := os.Stat(filepath.Join(c.root, "ran")); err == nil {
				t.Errorf("%s, %s: the payload ran", point, script)
			}
		}
	}
}
