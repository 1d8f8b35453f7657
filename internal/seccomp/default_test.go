// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	allowed      = unix.SECCOMP_RET_ALLOW
	eperm        = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys       = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	eafnosupport = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	killed       = unix.SECCOMP_RET_KILL_PROCESS
)

// defaultFilter compiles the default profile, which must know all its names.
func defaultFilter(t testing.TB, o Options) []unix.SockFilter {
	t.Helper()
	program, err := Compile(Default(o), o.Arch)
	if err != nil {
		t.Fatal(err)
	}
	if len(program.Unknown) > 0 {
		t.Fatalf("unknown names %v", program.Unknown)
	}
	checkForm(t, program.Filter)
	return program.Filter
}

// answers gives what the profile answers to each call of an ABI.
func answers(t testing.TB, o Options, b abi) map[string]string {
	t.Helper()
	filter, spec := defaultFilter(t, o), Default(o)
	result := map[string]string{}
	for nr, name := range namesOf(b) {
		ret, _ := run(filter, call{arch: b.audit, nr: nr})
		word := map[uint32]string{allowed: "allowed", eperm: "EPERM", enosys: "ENOSYS", eafnosupport: "EAFNOSUPPORT"}[ret]
		if word == "" {
			t.Fatalf("%s: answer %#x", name, ret)
		}
		if len(withName(spec, name)) > 0 {
			word = "by argument"
		}
		result[name] = word
	}
	return result
}

// TestDefaultGolden shows the whole policy to the reviewer of a change: what
// each call gets without capabilities, and what each capability changes.
func TestDefaultGolden(t *testing.T) {
	var b strings.Builder
	for _, native := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64} {
		abis := abisOf(native)
		base := answers(t, Options{Arch: native}, abis[0])
		fmt.Fprintf(&b, "# %s\n", abis[0].arch)
		for _, word := range []string{"by argument", "allowed", "EPERM", "ENOSYS"} {
			names := namesWith(base, word)
			fmt.Fprintf(&b, "%s (%d): %s\n", word, len(names), strings.Join(names, " "))
		}
		for _, caps := range capSets() {
			if len(caps) != 1 {
				continue
			}
			with := answers(t, Options{Arch: native, Bounding: caps}, abis[0])
			var changed []string
			for name, word := range with {
				if base[name] != word {
					changed = append(changed, name+"="+word)
				}
			}
			slices.Sort(changed)
			fmt.Fprintf(&b, "%s: %s\n", caps[0], strings.Join(changed, " "))
		}
		narrow := abis[len(abis)-1]
		compat := answers(t, Options{Arch: native, Compat32: true}, narrow)
		fmt.Fprintf(&b, "# %s with Compat32\n", narrow.arch)
		for _, word := range []string{"by argument", "allowed", "EPERM", "ENOSYS"} {
			fmt.Fprintf(&b, "%s: %s\n", word, strings.Join(namesWith(compat, word), " "))
		}
	}
	golden(t, "default.golden", b.String())
}

func namesWith(answers map[string]string, word string) (names []string) {
	for name, w := range answers {
		if w == word {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewritten by -update:\n%s", file, diff)
	}
}

// TestDefaultNaive holds the compiled profile to the naive evaluator.
func TestDefaultNaive(t *testing.T) {
	for _, native := range natives[:2] {
		for _, compat := range []bool{false, true} {
			for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_NET_ADMIN", "CAP_NET_RAW"}} {
				compareAll(t, Default(Options{Arch: native, Bounding: caps, Compat32: compat}), native, 100)
			}
		}
	}
}

// TestDefaultTables: each name once, each group with its reason.
func TestDefaultTables(t *testing.T) {
	seen := map[string]bool{"clone": true, "clone3": true, "socket": true, "socketpair": true, "personality": true, "ioctl": true}
	groups := slices.Concat(allowedCalls[:], gatedCalls[:], deniedCalls[:])
	for _, g := range groups {
		if g.reason == "" || len(g.names) == 0 {
			t.Errorf("group %v without reason or names", g.names)
		}
		for _, name := range g.names {
			if findSyscall(name) == nil {
				t.Errorf("%s: no such call", name)
			}
			// The two stand in their gated group as well as in cloneRules.
			if seen[name] && !(g.caps != nil && (name == "clone" || name == "clone3")) {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
		}
	}
	for _, f := range socketFamilies {
		if f.reason == "" {
			t.Errorf("socket family %d without reason", f.family)
		}
	}
}

// TestDefaultArguments: the calls that are judged by argument, and by each
// capability that changes the judgement.
func TestDefaultArguments(t *testing.T) {
	const high = 0xdead << 32 // rubbish that the ABI allows above an int
	const amd64, i386 = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	for _, c := range []struct {
		caps string
		nr   uint32
		args [maxArgs]uint64
		want uint32
	}{
		{"", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SETTLS}, allowed},
		{"", unix.SYS_CLONE, [maxArgs]uint64{uint64(unix.SIGCHLD)}, allowed},
		{"", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{"", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_NEWNS}, eperm},
		{"", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_NEWCGROUP}, eperm},
		{"", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_NEWNET | high}, eperm},
		{"CAP_SYS_ADMIN", unix.SYS_CLONE, [maxArgs]uint64{unix.CLONE_NEWUSER}, allowed},
		{"", unix.SYS_CLONE3, [maxArgs]uint64{}, enosys},
		{"CAP_SYS_ADMIN", unix.SYS_CLONE3, [maxArgs]uint64{}, allowed},
		{"", unix.SYS_UNSHARE, [maxArgs]uint64{}, eperm},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_INET | high, unix.SOCK_STREAM, 6}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_INET6, unix.SOCK_DGRAM}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_ALG, unix.SOCK_SEQPACKET}, eafnosupport},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_ALG | high, unix.SOCK_SEQPACKET}, eafnosupport},
		{"CAP_SYS_ADMIN CAP_NET_ADMIN CAP_NET_RAW", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_VSOCK}, eafnosupport},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_PACKET, unix.SOCK_RAW}, eafnosupport},
		{"CAP_NET_RAW", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_PACKET, unix.SOCK_RAW}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC | high}, allowed},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, eafnosupport},
		{"", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}, eafnosupport},
		{"CAP_NET_ADMIN", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}, allowed},
		{"CAP_NET_ADMIN", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_KEY, unix.SOCK_RAW, 2}, eafnosupport},
		{"CAP_AUDIT_WRITE", unix.SYS_SOCKET, [maxArgs]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, allowed},
		{"", unix.SYS_SOCKETPAIR, [maxArgs]uint64{unix.AF_UNIX}, allowed},
		{"CAP_NET_ADMIN", unix.SYS_SOCKETPAIR, [maxArgs]uint64{unix.AF_TIPC}, eafnosupport},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, unix.TCGETS}, allowed},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, unix.TIOCSTI - 1}, allowed},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, unix.TIOCSTI}, eperm},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, unix.TIOCSTI | high}, eperm},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, unix.TIOCLINUX | 1<<63}, eperm},
		{"", unix.SYS_IOCTL, [maxArgs]uint64{0, 0xffffffff_80045430}, allowed}, // musl extends the sign
		{"", unix.SYS_PERSONALITY, [maxArgs]uint64{0xffffffff}, allowed},
		{"", unix.SYS_PERSONALITY, [maxArgs]uint64{1<<64 - 1}, allowed},
		{"", unix.SYS_PERSONALITY, [maxArgs]uint64{0x20008}, allowed},
		{"", unix.SYS_PERSONALITY, [maxArgs]uint64{0x0040000}, eperm}, // ADDR_NO_RANDOMIZE
		{"", unix.SYS_PERSONALITY, [maxArgs]uint64{0x0400000 | high}, eperm},
	} {
		// The numbers of the test's own architecture are those of the filter.
		filter := defaultFilter(t, Options{Arch: Native, Bounding: strings.Fields(c.caps)})
		got, _ := run(filter, call{arch: Native, nr: c.nr, args: c.args})
		if got != c.want {
			t.Errorf("with %q: number %d %#x: got %#x, want %#x", c.caps, c.nr, c.args, got, c.want)
		}
	}
	for _, compat := range []bool{false, true} {
		filter := defaultFilter(t, Options{Arch: amd64, Compat32: compat})
		want := uint32(killed)
		if compat {
			want = allowed
		}
		for _, c := range []call{{arch: i386, nr: 20}, {arch: i386, nr: 102, args: [maxArgs]uint64{1}}} {
			if got, _ := run(filter, c); got != want {
				t.Errorf("i386, compat %v: number %d: got %#x, want %#x", compat, c.nr, got, want)
			}
		}
		if got, _ := run(filter, call{arch: amd64, nr: x32Bit | 39}); got != killed {
			t.Errorf("x32: got %#x", got)
		}
	}
}

// TestDefaultSize bounds what a start pays for: instructions to load, and
// steps for the calls that the kernel can't remember as allowed.
func TestDefaultSize(t *testing.T) {
	filter := defaultFilter(t, Options{Arch: unix.AUDIT_ARCH_X86_64})
	if len(filter) > 150 {
		t.Errorf("%d instructions, more than 150", len(filter))
	}
	worst := 0
	for nr := range uint32(600) {
		for _, args := range argSets(Default(Options{}), "socket", newRandom(), 20) {
			_, steps := run(filter, call{arch: unix.AUDIT_ARCH_X86_64, nr: nr, args: args})
			worst = max(worst, steps)
		}
	}
	if worst > 40 {
		t.Errorf("%d steps in the worst case, more than 40", worst)
	}
	t.Logf("%d instructions, at most %d steps", len(filter), worst)
}

// TestDefaultSpec: what the OCI specification carries besides the rules.
func TestDefaultSpec(t *testing.T) {
	spec := Default(Options{Arch: unix.AUDIT_ARCH_X86_64})
	if want := []specs.Arch{specs.ArchX86_64}; !slices.Equal(spec.Architectures, want) {
		t.Errorf("architectures %v, want %v", spec.Architectures, want)
	}
	spec = Default(Options{Arch: unix.AUDIT_ARCH_AARCH64, Compat32: true})
	if want := []specs.Arch{specs.ArchAARCH64, specs.ArchARM}; !slices.Equal(spec.Architectures, want) {
		t.Errorf("architectures %v, want %v", spec.Architectures, want)
	}
	program, err := Compile(spec, unix.AUDIT_ARCH_AARCH64)
	if err != nil {
		t.Fatal(err)
	}
	if program.Flags != unix.SECCOMP_FILTER_FLAG_TSYNC {
		t.Errorf("flags %#x, want TSYNC alone", program.Flags)
	}
}
