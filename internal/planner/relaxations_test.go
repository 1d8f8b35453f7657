// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/definition"
)

func number[T any](n T) *T { return &n }

// loose uses every row of the table once.
var loose = definition.Service{
	Name: "loose", RootFS: "/", Privileged: true, UsernsMode: "host",
	CapAdd: []string{"ALL", "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_NET_ADMIN",
		"CAP_NET_RAW", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SYS_TIME", "CAP_MAC_ADMIN", "CAP_IPC_LOCK", "CAP_CHOWN"},
	SecurityOpt: []string{"no-new-privileges=false", "seccomp=unconfined", "apparmor=unconfined", "label=disable", "systempaths=unconfined", "unmask=ALL"},
	NetworkMode: "host", PID: "host", IPC: "host", UTS: "host", Cgroup: "host",
	Devices:           []definition.Device{{Source: "/dev/sda"}, {Source: "/dev/mem"}},
	CDI:               []definition.CDIDevice{{Name: "nvidia.com/gpu=0", Key: "gpus"}, {Name: "nvidia.com/gpu=1", Key: "gpus"}},
	DeviceCgroupRules: []string{"c 1:3 rw"},
	Sysctls:           []definition.KeyValue{{Key: "net.core.somaxconn", Value: "1"}},
	Volumes: []definition.Volume{
		{Type: definition.VolumeBind, Source: "/", Target: "/host"},
		{Type: definition.VolumeBind, Source: "/etc/systemd/system", Target: "/a"},
		{Type: definition.VolumeBind, Source: "/sys/kernel", Target: "/b"},
		{Type: definition.VolumeBind, Source: "/var/run/docker.sock", Target: "/c"},
		{Type: definition.VolumeBind, Source: "/srv/data", Target: "/d", IDMap: number(false)},
		{Type: definition.VolumeBind, Source: "/srv/data", Target: "/e", Propagation: "rshared"},
		{Type: definition.VolumeBind, Source: "/srv/data", Target: "/f"},
		{Type: definition.VolumeTmpfs, Target: "/etc"},
	},
	PostStart: []definition.Hook{{Privileged: true}, {}},
	Runtime:   "crun", OOMScoreAdj: number(-1), Resources: definition.Resources{PidsLimit: number(int64(-1))},
}

func TestGoldenRelaxations(t *testing.T) {
	var got strings.Builder
	for _, f := range Relaxed(&loose) {
		got.WriteString(f.Path + ": " + f.Opens + "\n")
	}
	file := filepath.Join("testdata", "relaxations.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A row that nothing is found by would be a promise of the document alone.
func TestEveryRelaxationIsFound(t *testing.T) {
	other := definition.Service{RootFS: "host", Bundle: "/srv/bundle", PID: "service:a", IPC: "container:b", SecurityOpt: []string{"seccomp=/etc/profile.json", "apparmor=mine", "label=type:mine"}, NetworkMode: "service:a"}
	for _, r := range Relaxations {
		if len(r.find(&loose)) == 0 && len(r.find(&other)) == 0 {
			t.Errorf("%s is found in neither definition of this test", r.Key)
		}
	}
}

func TestDefaultsAreNoRelaxation(t *testing.T) {
	for name, s := range services {
		if name == "privileged" || name == "privileged-sys" || name == "host" || name == "full" || name == "hooks" {
			continue
		}
		if found := Relaxed(&s); len(found) > 0 {
			t.Errorf("%s opens %v", name, found)
		}
	}
	tight := definition.Service{RootFS: "/srv/x", CapAdd: []string{"CAP_CHOWN"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"seccomp=unconfined", "seccomp=builtin", "no-new-privileges=true"},
		NetworkMode: "none", PID: "private", Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: "/etcetera", Target: "/etc"}}}
	if found := Relaxed(&tight); len(found) > 0 {
		t.Errorf("a tight definition opens %v", found)
	}
}

// Docker's older spelling opens as much.
func TestRelaxationsWithColons(t *testing.T) {
	for _, option := range []string{"no-new-privileges:false", "seccomp:unconfined", "apparmor:unconfined", "label:disable", "systempaths:unconfined", "unmask:/proc/sys"} {
		s := definition.Service{RootFS: "/srv/x", SecurityOpt: []string{option}}
		if found := Relaxed(&s); len(found) != 1 || found[0].Path != "security_opt[0]" {
			t.Errorf("%s opens %v", option, found)
		}
	}
}

// The document carries the table that is run.
func TestSecurityModelHasTheTable(t *testing.T) {
	data, err := os.ReadFile("../../docs/SECURITY-MODEL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "| key | then |\n|---|---|\n")
	got, _, _ := strings.Cut(rest, "\n\n")
	var want []string
	for _, r := range Relaxations {
		want = append(want, "| `"+r.Key+"` | "+r.Opens+" |")
	}
	if d := cmp.Diff(strings.Join(want, "\n"), got); !found || d != "" {
		t.Errorf("docs/SECURITY-MODEL.md (-table +document):\n%s", d)
	}
}
