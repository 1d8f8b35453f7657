// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// broken is a machine on which nothing is as it should be.
func broken(t *testing.T) Machine {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"proc/sys/kernel/seccomp/actions_avail": "allow trap\n",
		"proc/sys/user/max_user_namespaces":     "0\n",
		"sys/fs/cgroup/cgroup.controllers":      "cpu pids\n",
	} {
		path = filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	masked := dir + "/generators"
	if err := os.MkdirAll(masked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", masked+"/unitc-generator"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", masked+"/unitc-sweep.timer"); err != nil {
		t.Fatal(err)
	}
	return Machine{
		Proc: dir + "/proc", Sys: dir + "/sys", Run: dir + "/run", Store: dir + "/no/such/store", Helper: dir + "/no-helper", Relay: dir + "/no-relay",
		Generators: []string{masked}, Units: []string{dir + "/nowhere", masked},
		Systemd: func(context.Context) (string, error) { return "", errors.New("read: connection reset by peer") },
	}
}

// What is wrong is said with what to do about it.
func TestFaultsHaveCures(t *testing.T) {
	found := map[string]Finding{}
	for _, f := range Examine(broken(t)) {
		found[f.Area+"/"+f.Check] = f
	}
	for check, want := range map[string]struct {
		state      State
		what, cure string
	}{
		"kernel/seccomp":         {Failed, "no action errno", "update the kernel"},
		"cgroup/hierarchy":       {Failed, "not cgroup v2", "systemd.unified_cgroup_hierarchy=1"},
		"cgroup/controllers":     {Warning, "without memory, io, cpuset, limits by mem_limit", "cgroup v1"},
		"cgroup/pressure":        {Warning, "no pressure", "psi=1"},
		"systemd/version":        {Failed, "connection reset", "systemctl list-jobs"},
		"systemd/private socket": {Warning, "only after dbus", "daemon-reexec"},
		"systemd/generator":      {Failed, "link to /dev/null", "remove the link"},
		"systemd/helper":         {Failed, "no-helper", "make install"},
		"systemd/sweep":          {Warning, "stays until they start again", "systemctl unmask"},
		"systemd/journal":        {Warning, "logs are lost", "systemd-journald"},
		"namespaces/kinds":       {Failed, "no namespaces of kind mnt", "build the kernel"},
		"namespaces/user":        {Failed, "forbidden", "sysctl"},
	} {
		f := found[check]
		if f.State != want.state || !strings.Contains(f.What, want.what) || !strings.Contains(f.Cure, want.cure) {
			t.Errorf("%s: %+v, want %+v", check, f, want)
		}
	}
	for check, f := range found {
		if strings.Contains(f.What, "failed to") || f.What == "" {
			t.Errorf("%s says %q", check, f.What)
		}
		if (f.State == OK) != (f.Cure == "") {
			t.Errorf("%s is %s, and its cure is %q", check, f.State, f.Cure)
		}
	}
}

// The lack of Landlock fails nothing, and is told.
func TestVersionsOfLandlock(t *testing.T) {
	for version, want := range map[int]string{0: "none", 5: "reach the host's", 6: "reach no abstract sockets", 9: "reach no abstract sockets"} {
		r := landlock(Machine{Landlock: func() (int, int, error) { return version, 6, nil }})
		if r.state != OK || !strings.Contains(r.what, want) {
			t.Errorf("version %d: %+v", version, r)
		}
	}
	if r := landlock(Machine{Landlock: func() (int, int, error) { return 0, 6, errors.New("refused") }}); r.state != Warning {
		t.Errorf("one that is refused: %+v", r)
	}
}

func TestVersionsOfSystemd(t *testing.T) {
	for version, want := range map[string]State{"257.9-1~deb13u1": OK, "252.39-1~deb12u1": OK, "249.11": Failed, "self-made": Warning} {
		r := systemdVersion(Machine{Systemd: func(context.Context) (string, error) { return version, nil }})
		if r.state != want {
			t.Errorf("%s: %+v, want %s", version, r, want)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		list []Finding
		want State
	}{
		{nil, OK},
		{[]Finding{{State: Unknown}, {State: OK}}, OK},
		{[]Finding{{State: Warning}, {State: OK}}, Warning},
		{[]Finding{{State: Failed}, {State: Warning}}, Failed},
	} {
		if got := Worst(c.list); got != c.want {
			t.Errorf("%v: %s, want %s", c.list, got, c.want)
		}
	}
}

func TestFavorsMoves(t *testing.T) {
	const other = "proc /proc proc rw,favordynmods 0 0\n"
	for mounts, want := range map[string]bool{
		other + "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n":              false,
		other + "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,favordynmods,nsdelegate 0 0\n": true,
		other: true, // nothing is said of what is not there
	} {
		if got := favorsMoves(mounts, "/sys/fs/cgroup"); got != want {
			t.Errorf("%q: %v", mounts, got)
		}
	}
}

// What containers run as on a host with SELinux depends on its policy.
func TestLabelOfContainers(t *testing.T) {
	m := broken(t)
	for path, text := range map[string]string{"/kernel/security/lsm": "capability,selinux", "/fs/selinux/enforce": "1"} {
		if err := os.MkdirAll(filepath.Dir(m.Sys+path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.Sys+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const label = "system_u:system_r:container_t:s0"
	for _, v := range []struct {
		label  string
		loaded bool
		want   string
	}{
		{label, true, "SELinux is enforcing; containers run as " + label + " with categories of their own"},
		{label, false, "the policy that is loaded does not know " + label + ", and containers run without a label: install container-selinux"},
		{"", false, "its policy names no label for containers"},
	} {
		m.Label = func() (string, bool) { return v.label, v.loaded }
		if r := securityModule(m); r.state != OK || !strings.Contains(r.what, v.want) {
			t.Errorf("%+v, want %q", r, v.want)
		}
	}
	m.Label = func() (string, bool) { return label, true }
	m.Enters = func(string) (string, bool) { return "system_u:system_r:init_t:s0", false }
	if r := securityModule(m); r.state != Warning || !strings.Contains(r.what, "the helper runs as system_u:system_r:init_t:s0, which may begin no container as "+label) || !strings.Contains(r.cure, "semodule -i unitc.cil") {
		t.Errorf("where the policy lets none begin: %+v", r)
	}
}

// A generator without the program that it becomes is half of one.
func TestGeneratorWithoutYAML(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/unitc-generator", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	m := Machine{Generators: []string{dir}, YAMLGenerator: dir + "/unitc-generator-yaml"}
	if r := generator(m); r.state != Failed || !strings.Contains(r.what, "only plain definitions") || !strings.Contains(r.cure, "make install") {
		t.Errorf("%+v", r)
	}
	m.YAMLGenerator = dir + "/unitc-generator"
	if r := generator(m); r.state != OK {
		t.Errorf("%+v", r)
	}
}
