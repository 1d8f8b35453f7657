// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capSets are bounding sets to resolve profiles for: none, each capability
// alone, all together.
func capSets() [][]string {
	all := strings.Fields("CAP_SYS_ADMIN CAP_BPF CAP_PERFMON CAP_SYSLOG CAP_DAC_READ_SEARCH CAP_SYS_BOOT CAP_SYS_CHROOT " +
		"CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYS_NICE " +
		"CAP_NET_ADMIN CAP_NET_RAW CAP_AUDIT_WRITE")
	sets := [][]string{nil, all}
	for i := range all {
		sets = append(sets, all[i:i+1])
	}
	return sets
}

func dockerProfile(t testing.TB, caps []string) *specs.LinuxSeccomp {
	t.Helper()
	spec, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestProfileDocker: Docker's own profile means to us what it means to Docker.
func TestProfileDocker(t *testing.T) {
	if dockerArch(Native) == "" {
		t.Skip("Docker's code resolves for the architecture it runs on, and this one has no table")
	}
	text, err := json.MarshalIndent(moby.DefaultProfile(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ParseProfile(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, caps := range capSets() {
		got := profile.Resolve(Host{Arch: Native, Bounding: caps, Kernel: Kernel{6, 1}})
		if diff := cmp.Diff(dockerProfile(t, caps), got); diff != "" {
			t.Errorf("capabilities %v (-docker +unitc):\n%s", caps, diff)
		}
		if _, err := Compile(got, Native); err != nil {
			t.Errorf("capabilities %v: %v", caps, err)
		}
	}
}

const conditional = `{
	"defaultAction": "SCMP_ACT_ERRNO",
	"defaultErrnoRet": 38,
	"defaultErrno": "ENOSYS",
	"archMap": [
		{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
		{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}
	],
	"flags": ["SECCOMP_FILTER_FLAG_LOG"],
	"listenerPath": "/run/agent",
	"listenerMetadata": "m",
	"syscalls": [
		{"names": ["always"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
		{"name": "old_form", "action": "SCMP_ACT_ERRNO", "errno": "EACCES"},
		{"names": ["kernel"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "5.10"}},
		{"names": ["before"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.10"}},
		{"names": ["both"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_A", "CAP_B"]}},
		{"names": ["neither"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_A", "CAP_B"]}},
		{"names": ["intel"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
		{"names": ["others"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
		{"names": ["and"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"], "caps": ["CAP_A"]}, "excludes": {"caps": ["CAP_B"]}},
		{"names": ["args"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 18446744073709551615, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]}
	]
}`

// TestProfileResolve: every kind of condition, both ways.
func TestProfileResolve(t *testing.T) {
	profile, err := ParseProfile([]byte(conditional))
	if err != nil {
		t.Fatal(err)
	}
	intel, arm := uint32(unix.AUDIT_ARCH_X86_64), uint32(unix.AUDIT_ARCH_AARCH64)
	for _, c := range []struct {
		host Host
		want string
	}{
		{Host{intel, nil, Kernel{6, 1}}, "always old_form kernel neither intel args"},
		{Host{intel, nil, Kernel{5, 9}}, "always old_form before neither intel args"},
		{Host{intel, nil, Kernel{5, 10}}, "always old_form kernel neither intel args"},
		{Host{intel, nil, Kernel{4, 19}}, "always old_form before neither intel args"},
		{Host{intel, []string{"CAP_A"}, Kernel{6, 1}}, "always old_form kernel intel args"},
		{Host{intel, []string{"CAP_A", "CAP_B"}, Kernel{6, 1}}, "always old_form kernel both intel args"},
		{Host{arm, nil, Kernel{6, 1}}, "always old_form kernel neither others args"},
		{Host{arm, []string{"CAP_A"}, Kernel{6, 1}}, "always old_form kernel others and args"},
		{Host{arm, []string{"CAP_A", "CAP_B"}, Kernel{6, 1}}, "always old_form kernel both others args"},
	} {
		spec := profile.Resolve(c.host)
		var names []string
		for _, s := range spec.Syscalls {
			names = append(names, s.Names...)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.host, got, c.want)
		}
		wantArches := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
		if c.host.Arch == arm {
			wantArches = []specs.Arch{specs.ArchAARCH64}
		}
		if !slices.Equal(spec.Architectures, wantArches) {
			t.Errorf("%+v: architectures %v, want %v", c.host, spec.Architectures, wantArches)
		}
	}
	spec := profile.Resolve(Host{Arch: intel, Kernel: Kernel{6, 1}})
	want := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: uintp(38), Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		ListenerPath: "/run/agent", ListenerMetadata: "m", Architectures: spec.Architectures,
		Syscalls: []specs.LinuxSyscall{
			rule(specs.ActAllow, "always"),
			{Names: []string{"old_form"}, Action: specs.ActErrno, ErrnoRet: uintp(uint(unix.EACCES))},
			rule(specs.ActAllow, "kernel"), rule(specs.ActAllow, "neither"), rule(specs.ActAllow, "intel"),
			rule(specs.ActAllow, "args", arg(1, specs.OpMaskedEqual, 1<<64-1, 7)),
		},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestProfileFaults: each fault with its line, column, path and cure, and all
// of them at once.
func TestProfileFaults(t *testing.T) {
	const text = `{
	"defaultAction": "SCMP_ACT_DENY",
	"defaultErrno": "EWHAT",
	"architectures": ["SCMP_ARCH_Z80"],
	"archMap": [{"subArchitectures": []}, {"architecture": "SCMP_ARCH_X86_64"}],
	"flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"],
	"DefaultAction": "SCMP_ACT_ALLOW",
	"listenerPath": "/a", "listenerPath": "/b",
	"syscalls": [
		{"names": ["read"]},
		{"names": [], "action": "SCMP_ACT_ALLOW"},
		{"names": ["read", ""], "action": "SCMP_ACT_ALLOW"},
		{"names": "read", "name": "write", "action": "SCMP_ACT_ALLOW"},
		{"names": ["read"], "name": "write", "action": "SCMP_ACT_ALLOW"},
		{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1},
		{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "ENOSYS"},
		{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": -1},
		{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [
			{"index": 0, "op": "SCMP_CMP_EQ"},
			{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"},
			{"index": 0, "value": 0, "op": "=="},
			{"index": 0, "value": 1e3, "op": "SCMP_CMP_EQ"},
			{"index": 0, "value": 18446744073709551616, "op": "SCMP_CMP_EQ", "mask": {"a": [1, {}]}},
			7
		]},
		{"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["SYS_ADMIN"], "arches": ["x86_64"], "minKernel": "new"}},
		{"names": ["read"], "action": "SCMP_ACT_ALLOW", "exclude": {}}
	]
}`
	want := []string{
		`1:1: defaultAction: unknown action "SCMP_ACT_DENY"`,
		`1:1: archMap: stands beside architectures; keep one of them`,
		`3:18: defaultErrno: unknown errno "EWHAT"; they are written EPERM`,
		`4:20: architectures[0]: unknown architecture "SCMP_ARCH_Z80"; they are written SCMP_ARCH_X86_64`,
		`5:14: archMap[0]: architecture is missing`,
		`6:12: flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"`,
		`7:2: DefaultAction: unknown key; known here are defaultAction defaultErrnoRet defaultErrno architectures archMap flags listenerPath listenerMetadata syscalls`,
		`8:24: listenerPath: stands there twice`,
		`10:3: syscalls[0]: no action`,
		`11:3: syscalls[1]: names: empty, at least one is needed`,
		`12:3: syscalls[2]: names: empty name`,
		`13:13: syscalls[3].names: not a list`,
		`14:3: syscalls[4]: has both name and names; keep names`,
		`15:3: syscalls[5]: SCMP_ACT_ALLOW takes no errno, 1 is given`,
		`16:75: syscalls[6].errno: 38, but the other errno beside it is 1`,
		`17:63: syscalls[7].errnoRet: -1 is not a whole number from 0 to 65535`,
		`19:4: syscalls[8].args[0]: value is missing`,
		`20:4: syscalls[8].args[1]: index 6: a system call has arguments 0 to 5`,
		`21:4: syscalls[8].args[2]: unknown operator "=="`,
		`22:26: syscalls[8].args[3].value: 1e3 is not a whole number from 0 to 18446744073709551615`,
		`23:26: syscalls[8].args[4].value: 18446744073709551616 is not a whole number from 0 to 18446744073709551615`,
		`23:69: syscalls[8].args[4].mask: unknown key; known here are index value valueTwo op`,
		`24:4: syscalls[8].args[5]: not an object`,
		`26:73: syscalls[9].includes.caps[0]: "SYS_ADMIN" is no capability; they are written CAP_SYS_ADMIN`,
		`26:98: syscalls[9].includes.arches[0]: unknown architecture "x86_64"; write one of ` + strings.Join(dockerArches[:], " "),
		`26:122: syscalls[9].includes.minKernel: "new" is no kernel version; write "4.8"`,
		`27:51: syscalls[10].exclude: unknown key; known here are names name action errnoRet errno args comment includes excludes`,
	}
	_, err := ParseProfile([]byte(text))
	var faults *ProfileError
	if !errors.As(err, &faults) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), faults.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestProfileSyntax: what is no JSON, or not one object of it.
func TestProfileSyntax(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `1:1: ends in the middle`,
		"null":                                   `1:1: defaultAction: no action`,
		"{}":                                     `1:1: defaultAction: no action`,
		"[]":                                     "1:1: not an object",
		"{\n\"defaultAction\" \"x\"}":            `2:17: defaultAction: invalid character '"' after object key`,
		`{"defaultAction": "SCMP_ACT_ALLOW"`:     `1:35: ends in the middle`,
		`{"defaultAction": "SCMP_ACT_ALLOW"} {}`: `1:37: text after the end of the profile`,
		`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names"`:   `1:58: syscalls[0].names: ends in the middle`,
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"syscalls\": [,]}": `2:14: syscalls[0]: invalid character ',' looking for beginning of value`,
	} {
		_, err := ParseProfile([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
