// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/bundle"
	"github.com/unitc/unitc/internal/seccomp"
)

// What features says is what the code does: each word of a list is taken, and
// what is said not to be there is refused.
func TestFeaturesAreTrue(t *testing.T) {
	f := Features()
	if err := bundle.CheckVersion(f.OCIVersionMin); err != nil {
		t.Error(err)
	}
	if err := bundle.CheckVersion(f.OCIVersionMax); err != nil {
		t.Error(err)
	}
	for _, n := range f.Linux.Namespaces {
		s := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.LinuxNamespaceType(n)}}}}
		if errs := bundle.CheckNamespaces(s); len(errs) > 0 {
			t.Error(errs)
		}
	}
	if len(f.Linux.Namespaces) != 8 {
		t.Errorf("namespaces: %v", f.Linux.Namespaces)
	}
	if !slices.Contains(f.Linux.Seccomp.Actions, string(specs.ActNotify)) {
		t.Error("SCMP_ACT_NOTIFY is not listed")
	}
	if *f.Linux.Cgroup.V1 {
		t.Error("cgroup v1 is listed; the runtime refuses it")
	}
	devices := &specs.Spec{Linux: &specs.Linux{
		Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}, NetDevices: map[string]specs.LinuxNetDevice{"eth1": {}},
	}}
	if errs := bundle.CheckNetDevices(devices); !*f.Linux.NetDevices.Enabled || len(errs) > 0 {
		t.Errorf("netDevices: %v", errs)
	}
	for _, o := range []string{"ro", "rro", "rbind", "rprivate", "idmap", "noexec", "rnosuid", "tmpcopyup"} {
		if !slices.Contains(f.MountOptions, o) {
			t.Errorf("mount option %s is not listed", o)
		}
	}
	for _, c := range f.Linux.Capabilities {
		if !strings.HasPrefix(c, "CAP_") {
			t.Errorf("capability %q", c)
		}
	}
}

// The hooks that features names are those that the specification has.
// (The case "hooks run in order and read the state" runs each of them.)
func TestFeaturesNameEveryHook(t *testing.T) {
	var points []string
	for field := range reflect.TypeFor[specs.Hooks]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		points = append(points, name)
	}
	got := slices.Sorted(slices.Values(Features().Hooks))
	if slices.Sort(points); !slices.Equal(got, points) {
		t.Errorf("hooks are %q, and the specification has %q", got, points)
	}
}

// Each word of a filter's language that is listed compiles, and no other does.
func TestFeaturesOfSeccomp(t *testing.T) {
	f := Features().Linux.Seccomp
	const other = "SCMP_OTHER"
	for what, words := range map[string][]string{"action": f.Actions, "operator": f.Operators, "architecture": f.Archs, "flag": f.KnownFlags} {
		if len(words) == 0 {
			t.Errorf("no %s is listed", what)
		}
		for _, word := range append(slices.Clone(words), other) {
			p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
			call := specs.LinuxSyscall{Names: []string{"getpid"}, Action: specs.ActAllow}
			switch what {
			case "action":
				call.Action = specs.LinuxSeccompAction(word)
				if call.Action == specs.ActNotify {
					p.ListenerPath = "/agent"
				}
			case "operator":
				call.Args = []specs.LinuxSeccompArg{{Op: specs.LinuxSeccompOperator(word)}}
			case "architecture":
				p.Architectures = []specs.Arch{specs.Arch(word)}
			case "flag":
				p.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(word)}
			}
			p.Syscalls = []specs.LinuxSyscall{call}
			if _, err := seccomp.Compile(p, seccomp.Native); (err == nil) != (word != other) {
				t.Errorf("%s %s: %v", what, word, err)
			}
		}
	}
}

// A flag that this kernel does not know is known, and not supported.
func TestFlagsOfThisKernel(t *testing.T) {
	if !kernelKnows(unix.SECCOMP_FILTER_FLAG_LOG) { // Linux 4.14
		t.Error("the kernel is said not to know SECCOMP_FILTER_FLAG_LOG")
	}
	if kernelKnows(1 << 31) {
		t.Error("the kernel is said to know a flag that there is not")
	}
	f := Features().Linux.Seccomp
	for _, flag := range f.SupportedFlags {
		if !slices.Contains(f.KnownFlags, flag) {
			t.Errorf("%s is supported and not known", flag)
		}
	}
	// Linux 5.19 has the last of them.
	if wait := string(specs.LinuxSeccompFlagWaitKillableRecv); slices.Contains(f.SupportedFlags, wait) != kernelKnows(unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER) {
		t.Errorf("supported are %q", f.SupportedFlags)
	}
}

func TestIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "A-z_0+.9": true, strings.Repeat("x", 255): true, "...": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a\n": false, "ä": false, strings.Repeat("x", 256): false, "a\x00": false,
	} {
		if err := checkID(id); (err == nil) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestSysctls(t *testing.T) {
	all := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}}}}
	none := &specs.Spec{Linux: &specs.Linux{}}
	for key, want := range map[string]bool{
		"net.ipv4.ip_forward": true, "net/ipv4/ip_forward": true, "kernel.shmmax": true, "fs.mqueue.msg_max": true, "kernel.domainname": true,
		"kernel.core_pattern": false, "kernel/core_pattern": false, "net..x": false, "net.ipv4/../../kernel/core_pattern": false, "kernel.hostname": false,
		"vm.swappiness": false, "": false, "kernel.shmmax+kernel.core_pattern": false, "kernel.shmmaxx": false,
	} {
		if err := bundle.CheckSysctl(all, key); (err == nil) != want {
			t.Errorf("%q: %v", key, err)
		}
		if bundle.CheckSysctl(none, key) == nil {
			t.Errorf("%q passes without a namespace", key)
		}
	}
}

func TestOptions(t *testing.T) {
	known := []option{{"bundle", "b", "DIR", ""}, {"force", "f", "", ""}}
	for _, c := range []struct {
		args, rest string
		stop       bool
		bundle     string
		force, bad bool
	}{
		{args: "--bundle x id", rest: "id", bundle: "x"}, {args: "-b=x id", rest: "id", bundle: "x"}, {args: "id --force", rest: "id", force: true},
		{args: "id --force", rest: "id --force", stop: true}, {args: "-- --force", rest: "--force"}, {args: "--force=false id", rest: "id"},
		{args: "--nonsense", bad: true}, {args: "--bundle", bad: true}, {args: "--force=x", bad: true}, {args: "- id", rest: "- id"},
	} {
		var o options
		rest, err := o.parse(strings.Fields(c.args), known, c.stop)
		if (err != nil) != c.bad || !c.bad && (strings.Join(rest, " ") != c.rest || o.get("bundle") != c.bundle || o.has("force") != c.force) {
			t.Errorf("%s: %v %v %v", c.args, rest, o, err)
		}
	}
}
