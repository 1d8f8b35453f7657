// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/plan"
)

// A file system that few processors have: a directory with the files that the
// kernel would make stands for it.
func fakeResctrl(t *testing.T, groups ...string) {
	t.Helper()
	root, magic := resctrlRoot, resctrlMagic
	resctrlRoot, resctrlMagic = t.TempDir(), 0
	t.Cleanup(func() { resctrlRoot, resctrlMagic = root, magic })
	for _, g := range append(groups, "") {
		must(t, os.MkdirAll(resctrlRoot+"/"+g+"/mon_groups", 0o755))
		must(t, os.WriteFile(resctrlRoot+"/"+g+"/tasks", nil, 0o644))
		must(t, os.WriteFile(resctrlRoot+"/"+g+"/schemata", []byte("    L3:0=0000ff;1=0000ff\n    MB:0= 100;1= 100\n"), 0o644))
	}
}

func TestResctrlGroup(t *testing.T) {
	for _, v := range []struct {
		rdt          specs.LinuxIntelRdt
		wrong        string // what the error says, "" = it starts
		group, lines string // where the process is, what was written
	}{
		{specs.LinuxIntelRdt{ClosID: "gold"}, "", "gold", ""},
		{specs.LinuxIntelRdt{ClosID: "/"}, "", "", ""},
		{specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=ff;1=ff", MemBwSchema: "MB:0=100"}, "", "gold", ""},
		{specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=f", "MB:1=50"}}, "", "gold", "L3:0=f\nMB:1=50\n"},
		{specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=0f"}, "has L3:0=ff in its schemata, and not f", "", ""},
		{specs.LinuxIntelRdt{ClosID: "absent"}, "is not there, and no schema says how to make it", "", ""},
		{specs.LinuxIntelRdt{ClosID: "../up"}, "is not the name of a group", "", ""},
		{specs.LinuxIntelRdt{ClosID: "info"}, "is not the name of a group", "", ""},
		{specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "L3:0=f"}, "does not begin with \"MB:\"", "", ""},
		{specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=f\nMB:0=5"}}, "is more than one line", "", ""},
		// Nothing makes files in the directory of a new group here: writing fails, and it is removed.
		{specs.LinuxIntelRdt{ClosID: "", L3CacheSchema: "L3:0=f"}, "schemata: no such file or directory", "", ""},
	} {
		fakeResctrl(t, "gold")
		c := newContainer(t)
		c.service.Command = []string{"/payload", "payload", "pid"}
		c.spec = func(p *plan.Plan) { p.Spec.Linux.IntelRdt = &v.rdt }
		out, err := c.exec()
		if (err != nil) != (v.wrong != "") || err != nil && !strings.Contains(err.Error(), v.wrong) {
			t.Errorf("%+v: %v: %s", v.rdt, err, out)
			continue
		}
		if entries, err := os.ReadDir(resctrlRoot); err != nil || len(entries) != 4 { // gold, and three files
			t.Errorf("%+v: left are %v (%v)", v.rdt, entries, err)
		}
		if v.wrong != "" {
			continue
		}
		tasks, err := os.ReadFile(resctrlRoot + "/" + v.group + "/tasks")
		if pid, perr := strconv.Atoi(strings.TrimSpace(string(tasks))); err != nil || perr != nil || pid < 2 {
			t.Errorf("%+v: tasks are %q (%v)", v.rdt, tasks, err)
		}
		written, err := os.ReadFile(resctrlRoot + "/" + v.group + "/schemata")
		if !strings.HasSuffix(string(written), "1= 100\n"+v.lines) || err != nil {
			t.Errorf("%+v: written is %q (%v)", v.rdt, written, err)
		}
	}
}

// A process that joins is in the group of the first, and in its monitoring
// group, which goes with the container; the group that was there stays.
func TestResctrlOfAJoiningProcess(t *testing.T) {
	fakeResctrl(t, "gold")
	must(t, os.MkdirAll(resctrlRoot+"/gold/mon_groups/test", 0o755))
	c := newContainer(t)
	c.spec = func(p *plan.Plan) { p.Spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"} }
	h := c.hold()
	_, err := h.probe(ExecConfig{ID: "test"}, "pid")
	must(t, err)
	tasks, err := os.ReadFile(resctrlRoot + "/gold/tasks")
	if f := strings.Fields(string(tasks)); err != nil || len(f) != 2 || f[0] == f[1] {
		t.Errorf("tasks are %q (%v)", tasks, err)
	}
	spec := &specs.Spec{Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}}}
	must(t, PostStop(spec, "test", "/"))
	if _, err := os.Stat(resctrlRoot + "/gold/mon_groups/test"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the monitoring group is left: %v", err)
	}
	if _, err := os.Stat(resctrlRoot + "/gold/tasks"); err != nil {
		t.Error(err)
	}
}

func TestHostWithoutResctrl(t *testing.T) {
	root := resctrlRoot
	resctrlRoot = t.TempDir()
	defer func() { resctrlRoot = root }()
	c := newContainer(t)
	c.service.Command = []string{"/payload", "payload"}
	c.spec = func(p *plan.Plan) { p.Spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"} }
	if out, err := c.exec(); !errors.Is(err, ErrNoResctrl) || !strings.Contains(err.Error(), "mount -t resctrl") {
		t.Errorf("%v: %s", err, out)
	}
}
