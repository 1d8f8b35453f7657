// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
)

func buildPlan(t *testing.T, s definition.Service, f planner.Facts) *plan.Plan {
	t.Helper()
	p, err := planner.Build(&s, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDescribeNeedsNoPrivilegeAndChangesNothing(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"etc/passwd": "app:x:70:71::/srv:/bin/sh\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	absent := filepath.Join(t.TempDir(), "made-at-start")
	p := buildPlan(t, definition.Service{Name: "web", RootFS: root, Command: []string{"/bin/app"}, User: "app", ReadOnly: true,
		Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: absent, Target: "/data", CreateHostPath: true}}},
		planner.Facts{IDStart: 524288})
	steps, err := Describe(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(absent); err == nil {
		t.Errorf("describing made %s", absent)
	}
	if u := p.Spec.Process.User; u.UID != 70 || u.GID != 71 {
		t.Errorf("user is %d:%d, the root file system says 70:71", u.UID, u.GID)
	}
	names := map[string]StepDescription{}
	for _, s := range steps {
		names[s.Name] = s
	}
	for _, want := range []string{"create-user-namespace", "pivot-root", "set-rootfs-readonly", "enter-user-namespace", "exec-payload"} {
		if !names[want].Applies {
			t.Errorf("step %s does not apply", want)
		}
	}
	if calls := names["exec-payload"].Calls; !slices.Equal(calls, []string{"execve /bin/app"}) {
		t.Errorf("exec-payload makes %q", calls)
	}
	// One that is attached nowhere would keep the exec waiting.
	if calls := names["open-procfs"].Calls; !slices.ContainsFunc(calls, func(call string) bool { return strings.HasPrefix(call, "move_mount private procfs ") }) {
		t.Errorf("open-procfs makes %q", calls)
	}
	if names["set-oom-score"].Applies {
		t.Error("set-oom-score applies without oom_score_adj")
	}
}

// The table is what an auditor reads: a step without a reason says nothing.
func TestEveryStepHasItsReason(t *testing.T) {
	for _, s := range innerSteps {
		if s.why == "" && s.name != "exec-payload" {
			t.Errorf("step %s has no reason", s.name)
		}
	}
	for _, s := range outerSteps {
		if strings.TrimSpace(s.why) == "" {
			t.Errorf("step %s has no reason", s.name)
		}
	}
}

func TestDescribeRefusesWhatAStartWouldRefuse(t *testing.T) {
	p := buildPlan(t, definition.Service{Name: "web", RootFS: filepath.Join(t.TempDir(), "absent"), Command: []string{"x"}}, planner.Facts{})
	if _, err := Describe(p); err == nil || !strings.HasPrefix(err.Error(), "open-rootfs: ") {
		t.Errorf("a missing rootfs gives %v, want an error of open-rootfs", err)
	}
}
