// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func text(s string) *string { return &s }

// services have a golden plan each: a change of a default shows as a diff.
var services = map[string]definition.Service{
	"minimal": {Name: "web", RootFS: "/srv/web", Command: []string{"/bin/web"}},
	"host": {
		Name: "hello", RootFS: "host", Entrypoint: []string{"/bin/sh", "-c"}, Command: []string{"echo hi"},
		NetworkMode: "host", Logging: definition.Logging{Driver: definition.LogDirect},
	},
	"full": {
		Name: "app", RootFS: "/srv/app", Command: []string{"serve"}, WorkingDir: "/work", User: "app:staff", GroupAdd: []string{"video"},
		Hostname: "box", Domainname: "example.org", ReadOnly: true, ShmSize: 1 << 20, Init: true,
		Environment: []definition.Env{{Name: "A", Value: text("1")}, {Name: "PATH", Value: text("/bin")}, {Name: "GONE"}},
		Volumes: []definition.Volume{
			{Type: definition.VolumeBind, Source: "/srv/data", Target: "/data", ReadOnly: true, Propagation: "rslave", CreateHostPath: true},
			{Type: definition.VolumeTmpfs, Target: "/tmp", Size: 1 << 20, NoExec: true},
		},
		Devices:   []definition.Device{{Source: "/dev/fuse", Target: "/dev/fuse", Permissions: "rwm"}},
		Ulimits:   []definition.Ulimit{{Name: "nofile", Soft: 10, Hard: 20}},
		Sysctls:   []definition.KeyValue{{Key: "net.core.somaxconn", Value: "100"}},
		Resources: definition.Resources{MemLimit: 64 << 20, CPUs: 0.5},
		CapAdd:    []string{"CAP_NET_ADMIN"}, CapDrop: []string{"CAP_KILL"}, StopGracePeriod: 3 * time.Second,
	},
	"service-placement": {
		Name: "s", RootFS: "/srv/s", Command: []string{"/s"}, System: definition.System{Cgroup: definition.CgroupService},
	},
	"probe": {
		Name: "p", RootFS: "/srv/p", Command: []string{"/p"}, Restart: definition.Restart{Policy: definition.RestartAlways},
		Healthcheck: &definition.Healthcheck{Interval: time.Second, StartPeriod: time.Minute},
		System:      definition.System{Probe: &definition.Probe{Kind: definition.ProbeTCP, Target: "5432"}},
	},
	"notify": {
		Name: "n", RootFS: "/srv/n", Command: []string{"/n"}, Environment: []definition.Env{{Name: "NOTIFY_SOCKET", Value: text("/x")}},
		System: definition.System{Notify: definition.NotifyContainer},
	},
	"job": {
		Name: "j", RootFS: "/srv/j", Command: []string{"/j"}, AwaitedCompletion: true,
		Healthcheck: &definition.Healthcheck{Test: []string{"CMD-SHELL", "test -e /x"}, Retries: 5},
	},
	"template": {
		Name: "worker@", Instance: "a-b", RootFS: "/srv/%i", Command: []string{"/w", "--path=%I", "100%%"},
	},
	"hooks": {
		Name: "h", RootFS: "/srv/h", Command: []string{"/h"}, User: "app", WorkingDir: "/w", Environment: []definition.Env{{Name: "A", Value: text("1")}, {Name: "B", Value: text("2")}},
		PostStart: []definition.Hook{
			{Command: []string{"/prepare", "now"}, Environment: []definition.Env{{Name: "A", Value: text("one")}, {Name: "B"}}},
			{Command: []string{"/chown"}, User: "0:0", WorkingDir: "/", Privileged: true}},
		PreStop: []definition.Hook{{Command: []string{"/drain"}}},
	},
	"clocks": {Name: "c", RootFS: "/srv/c", Command: []string{"/c"}, TimeOffsets: &definition.TimeOffsets{Boottime: 90 * time.Minute, Monotonic: -1500 * time.Millisecond}},
	"image-mount": {Name: "i", RootFS: "/srv/i", Command: []string{"/i"}, Volumes: []definition.Volume{
		{Type: definition.VolumeImage, Source: "localhost/assets:1", Target: "/assets", Subpath: "static", ReadOnly: true}}},
	"privileged-sys": {Name: "p", RootFS: "/srv/p", Command: []string{"/p"}, Privileged: true, Volumes: []definition.Volume{
		{Type: definition.VolumeBind, Source: "/sys", Target: "/sys", ReadOnly: true}}},
	"privileged": {Name: "p", RootFS: "/srv/p", Command: []string{"/p"}, Privileged: true},
}

var facts = Facts{
	IDStart:  524288,
	Volumes:  map[string]VolumeSource{"/assets": {Layers: []string{"/store/top", "/store/base"}}},
	Devices:  map[string]Device{"/dev/fuse": {Type: "c", Major: 10, Minor: 229, Mode: 0o666}},
	HostEtc:  []string{"/etc/passwd", "/etc/group"},
	EnvFiles: [][]definition.Env{{{Name: "A", Value: text("file")}, {Name: "GONE", Value: text("file")}, {Name: "B", Value: text("2")}}},
}

func TestGoldenPlans(t *testing.T) {
	for name, s := range services {
		f := facts
		if name != "full" {
			f.EnvFiles = nil
		}
		p, err := Build(&s, f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p.Spec.Linux.Seccomp = nil // golden in its own room
		got, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestSameInputSamePlan(t *testing.T) {
	for name, s := range services {
		var first []byte
		for range 20 {
			p, err := Build(&s, facts)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := json.Marshal(p)
			if first == nil {
				first = got
			} else if string(first) != string(got) {
				t.Fatalf("%s: two plans of one definition differ", name)
			}
		}
	}
}

func TestCapabilities(t *testing.T) {
	for _, test := range []struct {
		add, drop []string
		has, not  []string
		count     int
	}{
		{nil, nil, []string{"CAP_CHOWN"}, []string{"CAP_NET_RAW", "CAP_MKNOD", "CAP_SYS_CHROOT"}, 8},
		{[]string{"CAP_NET_RAW"}, nil, []string{"CAP_NET_RAW", "CAP_CHOWN"}, nil, 9},
		{nil, []string{"ALL"}, nil, []string{"CAP_CHOWN"}, 0},
		{[]string{"CAP_CHOWN"}, []string{"ALL"}, []string{"CAP_CHOWN"}, nil, 1},
		{[]string{"ALL"}, []string{"CAP_SYS_ADMIN"}, []string{"CAP_BPF"}, []string{"CAP_SYS_ADMIN"}, len(allCapabilities) - 1},
	} {
		s := services["minimal"]
		s.CapAdd, s.CapDrop = test.add, test.drop
		p, err := Build(&s, facts)
		if err != nil {
			t.Fatal(err)
		}
		set := p.Spec.Process.Capabilities.Bounding
		if len(set) != test.count {
			t.Errorf("+%v -%v: %d capabilities: %v", test.add, test.drop, len(set), set)
		}
		for _, c := range test.has {
			if !slices.Contains(set, c) {
				t.Errorf("+%v -%v: %s is missing", test.add, test.drop, c)
			}
		}
		for _, c := range test.not {
			if slices.Contains(set, c) {
				t.Errorf("+%v -%v: %s is there", test.add, test.drop, c)
			}
		}
	}
}

// CVE-2022-0811 and its kind: a sysctl of the host, or two in one.
func TestSysctlsOfTheHostAreRefused(t *testing.T) {
	for _, key := range []string{
		"kernel.core_pattern", "kernel.shm_rmid_forced+kernel.core_pattern", "net.ipv4.x/../../../kernel/core_pattern", "kernel/core_pattern",
		"fs.file-max", "net..", "kernel.hostname", "vm.overcommit_memory", "net.ipv4.ip_forward=1\nkernel.x",
	} {
		s := services["minimal"]
		s.Sysctls = []definition.KeyValue{{Key: key, Value: "1"}}
		var ke *KeyError
		if _, err := Build(&s, facts); !errors.As(err, &ke) || !strings.HasPrefix(ke.Key, "sysctls.") {
			t.Errorf("%q: %v", key, err)
		}
	}
	s := services["minimal"]
	s.NetworkMode, s.Sysctls = "host", []definition.KeyValue{{Key: "net.core.somaxconn", Value: "1"}}
	if _, err := Build(&s, facts); err == nil {
		t.Error("a sysctl of the host's network namespace was accepted")
	}
}

// A device is moved into a network that the start itself makes, under a name
// that no network's interface has.
func TestNetDevices(t *testing.T) {
	joined := facts
	joined.EnvFiles, joined.Joined.Network = nil, "/proc/7/ns/net"
	for mode, own := range map[string]bool{
		"": true, "none": true, "pasta": true,
		"host": false, "service:db": false, "container:db": false, "ns:/run/netns/x": false,
	} {
		s := services["minimal"]
		s.NetworkMode, s.NetDevices = mode, []definition.KeyValue{{Key: "enp3s0", Value: "lan0"}}
		p, err := Build(&s, joined)
		var ke *KeyError
		switch {
		case own && (err != nil || p.Spec.Linux.NetDevices["enp3s0"].Name != "lan0"):
			t.Errorf("network_mode %q: %v", mode, err)
		case !own && (!errors.As(err, &ke) || ke.Key != "x-net-devices"):
			t.Errorf("network_mode %q: %v", mode, err)
		}
	}
	for mode, name := range map[string]string{"": "eth0", "pasta": "eth0"} {
		s := services["minimal"]
		s.NetworkMode, s.NetDevices = mode, []definition.KeyValue{{Key: "enp3s0", Value: name}}
		if _, err := Build(&s, joined); err == nil {
			t.Errorf("network_mode %q: a device is called %s too", mode, name)
		}
	}
	s := services["minimal"]
	s.NetworkMode, s.NetDevices = "none", []definition.KeyValue{{Key: "eth0", Value: "eth0"}}
	if _, err := Build(&s, joined); err != nil {
		t.Error(err)
	}
}

// Rules of nft(8) bind a network that the start itself makes, or none.
func TestRulesAreForAnOwnNetwork(t *testing.T) {
	joined := facts
	joined.EnvFiles, joined.Joined.Network = nil, "/proc/7/ns/net"
	for mode, own := range map[string]bool{
		"": true, "none": true, "pasta": true,
		"host": false, "service:db": false, "container:db": false, "ns:/run/netns/x": false,
	} {
		s := services["minimal"]
		s.NetworkMode, s.NFTables = mode, "/etc/unitc/web.nft"
		p, err := Build(&s, joined)
		var ke *KeyError
		switch {
		case own && (err != nil || p.Rules != s.NFTables):
			t.Errorf("network_mode %q: %v", mode, err)
		case !own && (!errors.As(err, &ke) || ke.Key != "x-nftables"):
			t.Errorf("network_mode %q: %v", mode, err)
		}
	}
}

func TestNULIsRefusedEverywhere(t *testing.T) {
	bad := "a\x00b"
	for name, change := range map[string]func(*definition.Service){
		"command":     func(s *definition.Service) { s.Command = []string{bad} },
		"environment": func(s *definition.Service) { s.Environment = []definition.Env{{Name: "A", Value: &bad}} },
		"name":        func(s *definition.Service) { s.Environment = []definition.Env{{Name: bad, Value: text("x")}} },
		"source": func(s *definition.Service) {
			s.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: bad, Target: "/x"}}
		},
		"working_dir": func(s *definition.Service) { s.WorkingDir = bad },
		"hostname":    func(s *definition.Service) { s.Hostname = bad },
		"domainname":  func(s *definition.Service) { s.Domainname = bad },
		"user":        func(s *definition.Service) { s.User = bad },
		"rootfs":      func(s *definition.Service) { s.RootFS = bad },
	} {
		s := services["minimal"]
		change(&s)
		var ke *KeyError
		if _, err := Build(&s, facts); !errors.As(err, &ke) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpecifiers(t *testing.T) {
	for in, want := range map[string]string{"%i": "a-b", "%I": "a/b", "%p": "worker", "%n": "worker@a-b.service", "%N": "worker@a-b", "50%%": "50%", "x": "x"} {
		s := services["template"]
		s.Command = []string{in}
		p, err := Build(&s, facts)
		if err != nil || p.Spec.Process.Args[0] != want {
			t.Errorf("%s: %v %v", in, p, err)
		}
	}
	for _, in := range []string{"%", "%z", "50% off"} {
		s := services["template"]
		s.Command = []string{in}
		if _, err := Build(&s, facts); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

// A mount comes after what it lies in, whoever asked for either.
func TestVolumesOfTheImage(t *testing.T) {
	s := definition.Service{Name: "web", Image: "x", NetworkMode: "none", Command: []string{"/x"}, Volumes: []definition.Volume{
		{Type: definition.VolumeTmpfs, Target: "/data/db/tmp"}, {Type: definition.VolumeBind, Source: "/srv/data", Target: "/data"},
		{Type: definition.VolumeNamed, Source: "v", Target: "/var/v", ReadOnly: true, Subpath: "a"},
	}}
	f := facts
	f.EnvFiles = nil
	f.Image = &Image{Lowers: []string{"/l"}, Volumes: []string{"/data", "/data/db"}}
	f.Volumes = map[string]VolumeSource{"/var/v": {Path: "/vols/v", Options: []string{"noexec"}}, "/data/db": {Path: "/vols/anon"}}
	p, err := Build(&s, f)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range p.Spec.Mounts[len(p.Spec.Mounts)-4:] {
		got = append(got, m.Source+" "+m.Destination)
	}
	want := []string{"/srv/data /data", "/vols/v /var/v", "/vols/anon /data/db", "tmpfs /data/db/tmp"}
	if !slices.Equal(got, want) {
		t.Errorf("mounts are %q", got)
	}
	if o := p.Spec.Mounts[len(p.Spec.Mounts)-3].Options; !slices.Contains(o, "ro") || !slices.Contains(o, "noexec") || !slices.Contains(o, "ridmap") || p.Subpaths["/var/v"] != "a" {
		t.Errorf("options of the named volume: %q, subpaths %v", o, p.Subpaths)
	}
}

// The image's stop signal counts where the definition has none.
func TestStopSignalOfTheImage(t *testing.T) {
	for _, c := range []struct {
		image, own, runtime string
		init                bool
		signal              int
		refused             bool
	}{
		{"", "", "", false, 0, false},
		{"SIGTERM", "", "", false, 0, false},
		{"15", "", "crun", false, 0, false},
		{"QUIT", "", "", true, 3, false},
		{"SIGQUIT", "SIGINT", "", false, 0, false},
		{"SIGWINCH", "", "crun", false, 0, true},
		{"SIGRTMIN+3", "", "", false, 0, true},
		{"SIGRTMIN+3", "SIGRTMIN+3", "", false, 0, false},
		{"SIGSTOOP", "", "", false, 0, true},
	} {
		s := definition.Service{Name: "web", Image: "x", Command: []string{"/x"}, StopSignal: c.own, Runtime: c.runtime, Labels: []definition.KeyValue{{Key: "a", Value: "own"}}}
		f := facts
		f.EnvFiles = nil
		f.Image = &Image{Lowers: []string{"/l"}, StopSignal: c.image, Labels: map[string]string{"a": "image", "b": "image"}}
		p, err := Build(&s, f)
		var ke *KeyError
		if c.refused != errors.As(err, &ke) || !c.refused && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil && (p.Init != c.init || p.StopSignal != c.signal || p.Spec.Annotations["a"] != "own" || p.Spec.Annotations["b"] != "image") {
			t.Errorf("%+v: init %v, signal %d, annotations %v", c, p.Init, p.StopSignal, p.Spec.Annotations)
		}
	}
}

func TestSecurityOptions(t *testing.T) {
	build := func(options ...string) (*plan.Plan, error) {
		s := services["minimal"]
		s.SecurityOpt = options
		return Build(&s, facts)
	}
	p, err := build("apparmor=my-profile", "mask=/proc/foo:/proc/bar", "unmask=/sys/module:/proc/sys*")
	if err != nil {
		t.Fatal(err)
	}
	l := p.Spec.Linux
	if p.Spec.Process.ApparmorProfile != "my-profile" || !slices.Contains(l.MaskedPaths, "/proc/bar") ||
		slices.Contains(l.MaskedPaths, "/sys/module") || slices.Contains(l.ReadonlyPaths, "/proc/sys") || !slices.Contains(l.MaskedPaths, "/proc/kcore") {
		t.Errorf("%q %v %v", p.Spec.Process.ApparmorProfile, l.MaskedPaths, l.ReadonlyPaths)
	}
	if p, err = build("systempaths=unconfined"); err != nil || len(p.Spec.Linux.MaskedPaths)+len(p.Spec.Linux.ReadonlyPaths) > 0 {
		t.Errorf("systempaths=unconfined: %v", err)
	}
	if p, err = build("no-new-privileges:false", "seccomp=unconfined", "label=disable", "apparmor=unconfined"); err != nil ||
		p.Spec.Process.NoNewPrivileges || p.Spec.Linux.Seccomp != nil || p.Spec.Process.ApparmorProfile != "" {
		t.Errorf("the relaxations: %v", err)
	}
	for options, want := range map[string]string{"": AppArmorProfile, "apparmor=unconfined": "", "apparmor=mine": "mine", "apparmor:mine": "mine"} {
		s, f := services["minimal"], facts
		f.AppArmor = true
		if options != "" {
			s.SecurityOpt = []string{options}
		}
		p, err := Build(&s, f)
		if err != nil || p.Spec.Process.ApparmorProfile != want || WantsAppArmor(&s) != (options == "") {
			t.Errorf("%q: profile %q, want %q (%v)", options, p.Spec.Process.ApparmorProfile, want, err)
		}
	}
	if WantsAppArmor(&definition.Service{Privileged: true}) {
		t.Error("a privileged container gets the profile")
	}
	for _, o := range []string{"label=type:x_t", "apparmour=x", "systempaths=some", "landlock=confined", "no-new-privileges=maybe", "seccomp=/not/read"} {
		var ke *KeyError
		if _, err := build(o); !errors.As(err, &ke) || !strings.HasPrefix(ke.Key, "security_opt") {
			t.Errorf("%s: %v", o, err)
		}
	}
}

// A scope is told the stop signal where it is another than systemd's own, and where no
// process is left in it that is not the payload's.
func TestSignalOfTheScope(t *testing.T) {
	for name, c := range map[string]struct {
		service definition.Service
		want    string
	}{
		"default": {definition.Service{}, ""}, "SIGTERM": {definition.Service{StopSignal: "SIGTERM"}, ""}, "other": {definition.Service{StopSignal: "SIGRTMIN+3"}, "SIGRTMIN+3"},
		"host's processes": {definition.Service{StopSignal: "SIGWINCH", PID: "host"}, ""},
	} {
		s := services["minimal"]
		s.StopSignal, s.PID = c.service.StopSignal, c.service.PID
		p, err := Build(&s, facts)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, d := range p.Scope.Properties {
			if d.Name == "KillSignal" {
				got = d.Value
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Abstract sockets of others are out of reach where the network is not the container's own,
// unless it is told to look into what is not its own either.
func TestScopedSockets(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*definition.Service, *Facts)
		scoped bool
	}{
		"host": {func(s *definition.Service, _ *Facts) { s.NetworkMode = "host" }, true},
		"ns": {func(s *definition.Service, f *Facts) {
			s.NetworkMode, f.Joined.Network = "ns:/run/netns/x", "/run/netns/x"
		}, true},
		"own":       {func(s *definition.Service, _ *Facts) { s.NetworkMode = "none" }, false},
		"another's": {func(s *definition.Service, f *Facts) { s.NetworkMode, f.Joined.Network = "service:x", "/proc/5/ns/net" }, false},
		"the host's by another": {func(s *definition.Service, f *Facts) {
			s.NetworkMode, f.Joined.Network, f.Joined.HostNetwork = "service:x", "/proc/5/ns/net", true
		}, true},
		"old kernel": {func(s *definition.Service, f *Facts) { s.NetworkMode, f.Landlock = "host", false }, false},
		"unconfined": {func(s *definition.Service, _ *Facts) {
			s.NetworkMode, s.SecurityOpt = "host", []string{"landlock=unconfined"}
		}, false},
		"privileged":    {func(s *definition.Service, _ *Facts) { s.NetworkMode, s.Privileged = "host", true }, false},
		"other runtime": {func(s *definition.Service, _ *Facts) { s.NetworkMode, s.Runtime = "host", "crun" }, false},
		"watches":       {func(s *definition.Service, _ *Facts) { s.NetworkMode, s.PID = "host", "host" }, true},
		"traces itself": {func(s *definition.Service, _ *Facts) { s.NetworkMode, s.CapAdd = "host", []string{"CAP_SYS_PTRACE"} }, true},
		"traces": {func(s *definition.Service, _ *Facts) {
			s.NetworkMode, s.PID, s.CapAdd = "host", "host", []string{"CAP_SYS_PTRACE"}
		}, false},
		"beside": {func(s *definition.Service, f *Facts) {
			s.NetworkMode, s.PID = "host", "service:x"
			f.Joined = Joined{PID: "/proc/5/ns/pid", User: "/proc/5/ns/user"}
		}, false},
	} {
		s, f := services["minimal"], facts
		f.Landlock = true
		c.change(&s, &f)
		p, err := Build(&s, f)
		if err != nil || p.ScopeSockets != c.scoped {
			t.Errorf("%s: %v, want %v (%v)", name, p != nil && p.ScopeSockets, c.scoped, err)
		}
	}
}

// A payload that makes cgroups makes them below its own, as root of its own ids; the
// host's tree and another container's are not its to divide.
func TestWritableCgroups(t *testing.T) {
	const option = "writable-cgroups=true"
	for name, c := range map[string]struct {
		change          func(*definition.Service, *Facts)
		refused, writes bool
		uid             int
	}{
		"asked for": {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{option} }, false, true, int(facts.IDStart)},
		"unmasked":  {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{"unmask=/sys/firmware:/sys/fs/cgroup"} }, false, true, int(facts.IDStart)},
		"host's seen": {func(s *definition.Service, _ *Facts) {
			s.SecurityOpt, s.Cgroup = []string{"unmask=/sys/fs/cgroup"}, "host"
		}, false, false, -1},
		"taken back":  {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{option, "writable-cgroups=false"} }, false, false, int(facts.IDStart)},
		"not a word":  {func(s *definition.Service, _ *Facts) { s.SecurityOpt = []string{"writable-cgroups=yes"} }, true, false, 0},
		"the default": {func(*definition.Service, *Facts) {}, false, false, int(facts.IDStart)},
		"privileged":  {func(s *definition.Service, _ *Facts) { s.Privileged = true }, false, true, -1},
		"the host's":  {func(s *definition.Service, _ *Facts) { s.SecurityOpt, s.Cgroup = []string{option}, "host" }, true, false, 0},
		"crun's":      {func(s *definition.Service, _ *Facts) { s.SecurityOpt, s.Runtime = []string{option}, "crun" }, true, false, 0},
		"another's": {func(s *definition.Service, f *Facts) {
			s.SecurityOpt, s.PID, f.Joined = []string{option}, "service:db", Joined{PID: "/proc/7/ns/pid", User: "/proc/7/ns/user"}
		}, true, false, 0},
	} {
		s, f := services["minimal"], facts
		c.change(&s, &f)
		p, err := Build(&s, f)
		if c.refused != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if uid, _, writes := p.CgroupOwner(); writes != c.writes || uid != c.uid {
			t.Errorf("%s: %v, for %d", name, writes, uid)
		}
	}
}
