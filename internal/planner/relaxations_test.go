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
	SecurityOpt: []string{"no-new-privileges=false", "seccomp=unconfined", "apparmor=unconfined", "label=disable", "landlock=unconfined", "systempaths=unconfined", "unmask=ALL", "writable-cgroups=true"},
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
		{Type: definition.VolumeNamed, Source: "disk", Target: "/g", Declared: &definition.NamedVolume{Name: "disk",
			Options: []definition.KeyValue{{Key: "type", Value: "ext4"}, {Key: "device", Value: "/dev/sda1"}}}},
	},
	EnvFiles:   []definition.EnvFile{{Path: "/etc/web/web.env"}, {Path: "/etc/shadow"}},
	Secrets:    []definition.Grant{{Source: "a", File: "/etc/web/token"}, {Source: "b", File: "/root/.ssh/id_rsa"}},
	Configs:    []definition.Grant{{Source: "c", File: "/home/someone/.netrc"}},
	NetDevices: []definition.KeyValue{{Key: "eth0", Value: "lan0"}},
	System: definition.System{
		Notify: definition.NotifyContainer,
		Unit: []definition.Directive{{Name: "FailureAction", Value: "reboot-force"}, {Name: "SuccessAction", Value: "none"}, {Name: "Conflicts", Value: "shutdown.target"},
			{Name: "Conflicts", Value: "ssh.service"}, {Name: "After", Value: "network.target"}},
		Service: []definition.Directive{{Name: "ExecStartPre", Value: "/bin/a"}, {Name: "ExecStartPre", Value: "/bin/b"}, {Name: "OpenFile", Value: "/etc/shadow"}, {Name: "LoadCredential", Value: "d:/etc/shadow"},
			{Name: "LoadCredential", Value: "e:/etc/web/e"}, {Name: "RestartSec", Value: "1"}, {Name: "SyslogLevelPrefix", Value: "true"}},
		Scope:  []definition.Directive{{Name: "DeviceAllow", Value: "block-* rwm"}, {Name: "MemoryHigh", Value: "1G"}},
		Socket: []definition.Directive{{Name: "ListenStream", Value: "80"}, {Name: "ListenSpecial", Value: "/dev/kmsg"}, {Name: "ExecStartPost", Value: "/bin/c"}},
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
	third := definition.Service{NetworkMode: "ns:/proc/1/ns/net"}
	for _, r := range Relaxations {
		if len(r.find(&loose)) == 0 && len(r.find(&other)) == 0 && len(r.find(&third)) == 0 {
			t.Errorf("%s is found in no definition of this test", r.Key)
		}
	}
}

func TestDefaultsAreNoRelaxation(t *testing.T) {
	for name, s := range services {
		if name == "privileged" || name == "privileged-sys" || name == "host" || name == "full" || name == "hooks" || name == "notify" {
			continue
		}
		if found := Relaxed(&s); len(found) > 0 {
			t.Errorf("%s opens %v", name, found)
		}
	}
	tight := definition.Service{RootFS: "/srv/x", CapAdd: []string{"CAP_CHOWN"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"seccomp=unconfined", "seccomp=builtin", "no-new-privileges=true"},
		NetworkMode: "none", PID: "private", Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: "/etcetera", Target: "/etc"}},
		System: definition.System{Scope: []definition.Directive{{Name: "TasksMax", Value: "100"}}}}
	if found := Relaxed(&tight); len(found) > 0 {
		t.Errorf("a tight definition opens %v", found)
	}
}

// What is the host's is noted by whatever way it is written, and what programs keep
// there for a container is not.
func TestPathsOfTheHost(t *testing.T) {
	for _, c := range []struct {
		source string
		ro, rw bool // noted
	}{
		{"/", true, true}, {"//", true, true}, {"/srv/..", true, true}, {"/etc", true, true}, {"/srv/../etc/shadow", true, true}, {"/etc/shadow-", true, true},
		{"/etc/ssl/private/key.pem", true, true}, {"/etc/ssl/certs", false, true}, {"/etc/localtime", false, true}, {"/etc/cron.daily", false, true}, {"/etc/web/web.conf", false, true},
		{"/etc/cron.d/job", true, true}, {"/etc/unitc/web.env", true, true}, {"/usr/share/zoneinfo", false, true}, {"/usr/local/sbin", false, true}, {"/lib/systemd/system", true, true},
		{"/root/data", true, true}, {"/home/someone", true, true}, {"/home/someone/.ssh/id_rsa", true, true}, {"/home/someone/data", false, false},
		{"/var/lib", true, true}, {"/var/lib/unitc/images", true, true}, {"/var/lib/docker", true, true}, {"/var/lib/web", false, false}, {"/var/log", false, false}, {"/var/spool/cron/root", true, true},
		{"/run", true, true}, {"/var/run", true, true}, {"/run/systemd/system", true, true}, {"/var/run/systemd", true, true}, {"/run/user/1000/bus", true, true}, {"/run/unitc/web", true, true},
		{"/run/web", false, false}, {"/var/runners", false, false}, {"/run/docker.sock", true, true}, {"/var/run/docker.sock", true, true}, {"/run/containerd", true, true}, {"/run/systemd/private", true, true},
		{"/proc/1/root", true, true}, {"/sys/fs/bpf", true, true}, {"/dev", true, true}, {"/dev/shm", false, false}, {"/srv/data", false, false}, {"/mnt", false, false}, {"/opt/web", false, false},
	} {
		for readOnly, want := range map[bool]bool{true: c.ro, false: c.rw} {
			s := definition.Service{RootFS: "/srv/x", Volumes: []definition.Volume{{Type: definition.VolumeBind, Source: c.source, Target: "/t", ReadOnly: readOnly}}}
			if found := Relaxed(&s); len(found) > 1 || len(found) == 1 != want {
				t.Errorf("%s, read-only %v: %v, want %v", c.source, readOnly, found, want)
			}
		}
		s := definition.Service{RootFS: c.source}
		if found := Relaxed(&s); len(found) > 1 || len(found) == 1 != c.rw {
			t.Errorf("rootfs: %s: %v, want %v", c.source, found, c.rw)
		}
	}
}

// Docker's older spelling opens as much.
func TestRelaxationsWithColons(t *testing.T) {
	for _, option := range []string{"no-new-privileges:false", "seccomp:unconfined", "apparmor:unconfined", "label:disable", "landlock:unconfined", "systempaths:unconfined", "unmask:/proc/sys", "writable-cgroups:true"} {
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
