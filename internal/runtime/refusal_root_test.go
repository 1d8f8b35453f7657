// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// ownCalls are what Go's runtime cannot be without, in the process of the test or
// in the payload: nobody learns anything from a kernel that lacks them.
var ownCalls = []string{"read", "write", "close", "openat", "execve", "fcntl", "rt_sigprocmask", "rt_sigaction"}

// outerCalls are those of the half that runs in the helper; the inner half's are
// read from its program.
var outerCalls = []string{
	"openat2", "open_tree", "mount_setattr", "move_mount", "fsopen", "fsconfig", "fsmount", "clone3", "pidfd_open", "setns", "fstatfs", "memfd_create",
	"fchownat", "mkdirat", "umount2", "ppoll", "poll",
}

// confined is what a payload can tell of its confinement.
var confined = []string{
	"ids", "cwd", "hostname", "fds", "umask", "processes", "status=NoNewPrivs", "status=Seccomp", "status=CapEff", "status=CapPrm", "status=CapBnd", "status=CapInh",
	"status=CapAmb", "status=SigBlk", "status=SigIgn", "read=/proc/self/uid_map", "read=/proc/self/oom_score_adj", "write=/proc/sys/kernel/core_pattern",
	"read=/proc/keys", "list=/sys/firmware", "create=/sys/x", "create=/sys/fs/cgroup/x", "stat=/dev/null", "list=/dev", "list=/sys/class/net", "env",
	"create=/read-only/x", "read=/run/secrets/key", "rlimit",
}

// thorough has the more of the steps the less usual it is.
func thorough(c *container) {
	volume := c.t.TempDir()
	c.service.UsernsMode, c.service.Init, c.service.User, c.service.GroupAdd = "host", true, "1000:1000", []string{"7"}
	c.service.ReadOnly = true
	c.service.Volumes = []definition.Volume{
		{Type: definition.VolumeBind, Source: volume, Target: "/read-only", ReadOnly: true},
		{Type: definition.VolumeTmpfs, Target: "/scratch"},
	}
	c.spec = func(p *plan.Plan) {
		score := 500
		p.Spec.Process.OOMScoreAdj = &score
		p.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		p.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
		p.Spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch}
		p.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
		p.Spec.Linux.Namespaces = append(p.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		p.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 100}}
	}
}

// dispensable are the calls of the programs that a start may do without, each with
// the errno that says so; a fallback that is added is a line here.
var dispensable = map[string]string{
	"keyctl ENOSYS": "a kernel without keyrings has none to show",
	"statx ENOSYS":  "asked of a device's place where another file is, and a new /dev has none",
	"statx EPERM":   "the same",
}

// notCalls are operations of a program that are no system calls.
var notCalls = []string{"compare", "init", "fail", "store", "report", "rebirth"}

// A kernel or a filter of the unit that lacks a call of the start changes nothing
// about what the payload is confined by: the start ends with the name of a step, or
// the payload sees what it sees with the call. Calls come from the very programs,
// so that a new one is among them.
func TestNoCallIsDoneWithout(t *testing.T) {
	for name, prepare := range map[string]func(*container){"defaults": func(*container) {}, "thorough": thorough, "image": func(c *container) { image(c.t, c) }} {
		for _, shares := range []bool{true, false} {
			if name == "thorough" && shares || name == "image" && !shares {
				continue // the first never does, and the second is as the defaults are
			}
			t.Run(fmt.Sprintf("%s, shared memory %t", name, shares), func(t *testing.T) {
				defer func(was bool) { sharing = was }(sharing)
				sharing = sharing && shares
				c := newContainer(t)
				prepare(c)
				c.attach = t.TempDir()
				c.service.Command = append([]string{"/payload", "payload"}, confined...)
				refuseEach(t, callsOf(t, c), func() (map[string]string, error) {
					seen := map[string]string{}
					out, err := c.exec()
					if err == nil {
						err = json.Unmarshal(out, &seen)
					}
					return seen, err
				})
			})
		}
	}
}

// The same of a process that joins.
func TestNoCallOfAJoinIsDoneWithout(t *testing.T) {
	for _, mode := range []string{"", "host"} {
		c := newContainer(t)
		c.service.UsernsMode = mode
		h := c.hold()
		looks := slices.DeleteFunc(slices.Clone(confined), func(look string) bool { return look == "processes" })
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		must(t, err)
		defer null.Close()
		p := h.process("/payload")
		j := &joiner{cfg: ExecConfig{PID: h.pid, Spec: h.plan.Spec, Process: p, Stdio: [3]*os.File{null, null, null}}, l: &Launch{plan: &plan.Plan{}}}
		defer j.l.Close()
		for _, s := range joinSteps {
			must(t, s.do(j))
		}
		refuseEach(t, named(j.l.prog.Listing()), func() (map[string]string, error) { return h.probe(ExecConfig{}, looks...) })
	}
}

// refuseEach makes a start without each of the calls, by the errno of a kernel
// without it and by that of a filter.
func refuseEach(t *testing.T, calls []string, start func() (map[string]string, error)) {
	t.Helper()
	want, err := start()
	must(t, err)
	starts := 0
	for _, call := range slices.Sorted(slices.Values(append(calls, outerCalls...))) {
		for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
			var got map[string]string
			err := seccomptest.Refusal{Calls: []string{call}, Errno: errno}.Thread(func() (err error) {
				got, err = start()
				return err
			})
			var step *StepError
			var op *program.OpError
			refused := call + " " + unix.ErrnoName(errno)
			switch {
			case errors.As(err, &step), errors.As(err, &op):
				continue
			case err != nil:
				t.Errorf("%s: the start ends without the name of a step: %v", refused, err)
			case !maps.Equal(got, want):
				t.Errorf("%s: the payload is confined by something else: %s", refused, difference(got, want))
			case slices.Contains(calls, call) && dispensable[refused] == "":
				t.Errorf("%s: it starts all the same; either the call is of no use, or its failure is not seen", refused)
			}
			starts++
		}
	}
	if len(calls) < 15 || starts == 2*len(calls) {
		t.Errorf("%d of %d starts with a call refused went on", starts, 2*len(calls))
	}
}

// callsOf are the calls that the inner half of a start makes.
func callsOf(t *testing.T, c *container) []string {
	p, err := c.plan()
	must(t, err)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	must(t, err)
	defer null.Close()
	l, err := Prepare(p, Options{Stdio: [3]*os.File{null, null, null}, AttachPoint: t.TempDir(), ID: "test", Gated: true})
	must(t, err)
	defer l.Close()
	return named(l.prog.Listing())
}

// named are the names of the calls of a listing that can be refused.
func named(listing []string) (calls []string) {
	for _, line := range listing {
		if call, isCall := strings.CutPrefix(line, "\t"); isCall {
			if name := strings.Fields(call)[0]; !slices.Contains(ownCalls, name) && !slices.Contains(notCalls, name) {
				calls = append(calls, name)
			}
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}

func difference(got, want map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			out = append(out, fmt.Sprintf("%s: %q, not %q", k, got[k], want[k]))
		}
	}
	return out
}

// A child that cannot share this process's memory begins when all is prepared,
// with a copy of it: on processors without the few lines that it takes, and for
// payloads that others could trace. What is inside is the same.
func TestSharedMemoryAndCopy(t *testing.T) {
	if !program.CanShare() {
		t.Skip("needs a processor for which there is cloneShared")
	}
	defer func() { sharing = program.CanShare() }()
	for _, mode := range []string{"", "host"} {
		seen := map[bool]map[string]string{}
		for _, shares := range []bool{true, false} {
			sharing = shares
			c := newContainer(t)
			c.service.UsernsMode = mode
			c.service.Command = []string{"/payload"}
			p, err := c.plan()
			must(t, err)
			if l := (&Launch{plan: p, spec: p.Spec}); l.forkOptions().Shared != shares {
				t.Fatalf("userns_mode %q: shared memory is %v, want %v", mode, !shares, shares)
			}
			seen[shares] = c.run(confined...)
		}
		if !maps.Equal(seen[true], seen[false]) {
			t.Errorf("userns_mode %q: %s", mode, difference(seen[false], seen[true]))
		}
	}
}

// A filter that refuses capget(2) makes reading the sets back impossible, and one
// that has it must show them right; either way CAP_SYS_ADMIN, which loading it
// without no_new_privs costs, is gone.
func TestReadBackUnderTheFilter(t *testing.T) {
	for _, refused := range []string{"none", "capget"} {
		c := newContainer(t)
		c.spec = func(p *plan.Plan) {
			p.Spec.Process.NoNewPrivileges = false
			eperm := uint(unix.EPERM)
			p.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
			if refused != "none" {
				p.Spec.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{refused}, Action: specs.ActErrno, ErrnoRet: &eperm}}
			}
		}
		c.look(map[string]string{"status=Seccomp": "2", "status=CapEff": "00000000000004fb", "status=CapPrm": "00000000000004fb", "status=CapBnd": "00000000000004fb"})
	}
}
