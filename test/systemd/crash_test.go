// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const helper = "/usr/local/lib/unitc/unitc-exec"

// hooks is where instances of crash@ find what the test has armed.
const hooks = "/run/lab-hooks/"

// launches are definitions which need every step of a launch between them.
var launches = []struct {
	placement
	runtime    string // of `unitc-exec steps`
	definition string
}{
	{scoped, "own", endless + `
read_only: true
hostname: crash
sysctls: {net.core.somaxconn: 64}
devices: [/dev/fuse]
volumes:
  - /usr:/srv
  - {type: image, source: "localhost/crash:1", target: /mnt}
configs: [crash]
x-nftables: ` + crashRules + `
tmpfs: [/scratch]`},
	{placement{"service", "direct"}, "own", endless + `
userns_mode: host
network_mode: host
oom_score_adj: 100
init: true
security_opt: [no-new-privileges=false]`},
	{scoped, "foreign", endless + `
runtime: crun`},
	{scoped, "bundle", `
bundle: ` + crashBundle + `
tty: true`},
}

// quick ends what a start that has failed leaves running.
const quick = "\nstop_grace_period: 1s"

// crashRules are loaded in launches.
const crashRules = "/etc/unitc/crash.nft"

// crashBundle is where the bundle of launches is.
const crashBundle = "/srv/crash-bundle"

// makeCrashBundle makes a bundle that asks for what no key of a definition does.
func makeCrashBundle(t *testing.T) {
	t.Helper()
	b := newBundle(t, "")
	t.Cleanup(func() { os.RemoveAll(crashBundle) })
	must(t, "mv", b.dir, crashBundle)
	b.dir = crashBundle
	s := b.spec
	s.Process.Args, s.Process.NoNewPrivileges, s.Process.Terminal = []string{"sleep", "infinity"}, false, true
	s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch}
	s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal}
	s.Linux.RootfsPropagation = "slave"
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"swapon"}, Action: specs.ActErrno}}}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 5}}
	// A file system before a bind mount (internal/runtime/order.go).
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"}, specs.Mount{Destination: "/mnt/etc", Type: "bind", Source: "/etc", Options: []string{"bind", "ro"}})
	hook := []specs.Hook{{Path: "/bin/true"}}
	s.Hooks = &specs.Hooks{CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
	b.writeOrFail(t)
}

// otherSteps only an engine asks for (TestRuntimeKilledAtItsSteps), a unit with a socket,
// or a host with SELinux or AppArmor.
var otherSteps = []string{
	"await-start", "check-labels", "find-devices", "find-program", "set-apparmor-profile", "set-selinux-label", "start-container-hooks-held", "write-pid",
}

// systemdSteps are those at which systemd is told, asked or waited for; at all others
// a start that ends looks to it as at the one before.
var systemdSteps = []string{"call-systemd", "clone-payload", "send-mainpid", "request-scope", "start-scope", "join-scope", "await-exec", "send-ready", "become-relay"}

// "The helper killed at every single step of a start (a hook that the tests
// arm): the next start works and nothing is left."
//
//lab:once
func TestHelperKilledAtEveryStep(t *testing.T) {
	makeCrashBundle(t)
	seen, unseen := killedAt(t, len(launches), func(string) bool { return true })
	unseen = slices.DeleteFunc(unseen, func(step string) bool { return slices.Contains(seen, step) })
	if !slices.Equal(unseen, otherSteps) {
		t.Errorf("the launches here have every step but\n%q\nand should have all but\n%q", unseen, otherSteps)
	}
}

// Of the steps those that concern systemd.
//
//lab:others
func TestHelperKilledWhereSystemdActs(t *testing.T) {
	killed, _ := killedAt(t, 2, func(step string) bool { return slices.Contains(systemdSteps, step) })
	slices.Sort(killed)
	if n := len(slices.Compact(killed)); n != len(systemdSteps) {
		t.Errorf("%d steps of %d", n, len(systemdSteps))
	}
}

// killedAt kills the helper of the first launches at the steps that are wanted, and
// gives these and, in order, all that there are.
func killedAt(t *testing.T, first int, wanted func(step string) bool) (killed, all []string) {
	t.Helper()
	var mu sync.Mutex // launches run side by side
	prepareCrash(t)
	leavesNothing(t, func() {
		t.Run("launches", func(t *testing.T) {
			for _, l := range launches[:first] {
				t.Run(l.String()+"-"+l.runtime, func(t *testing.T) {
					t.Parallel()
					c := l.defineTemplate(t, "crash-"+l.runtime+"@", l.definition+quick, "TimeoutStartSec=20")
					steps, others := c.steps(l.runtime)
					mu.Lock()
					all = append(append(all, steps...), others...)
					steps = slices.DeleteFunc(steps, func(step string) bool { return !wanted(step) })
					killed = append(killed, steps...)
					mu.Unlock()
					t.Run("at", func(t *testing.T) {
						for _, step := range steps {
							t.Run(step, func(t *testing.T) {
								t.Parallel()
								c.instance(t, step).surviveKillAt(step)
							})
						}
					})
					kills := map[string]string{}
					for _, step := range steps {
						kills[c.name+step] = step
					}
					expectKills(t, kills)
				})
			}
		})
	})
	slices.Sort(all)
	return killed, slices.Compact(all)
}

// prepareCrash makes what the launches name.
func prepareCrash(t *testing.T) {
	t.Helper()
	pipe(t, "x", "unitc", "secret", "set", "crash")
	t.Cleanup(func() { must(t, "unitc", "secret", "rm", "crash") })
	place(t, crashRules, egress)
	loadConfigured(t, "localhost/crash:1", `{}`)
}

// defineTemplate makes a template whose instances look for a hook.
func (p placement) defineTemplate(t *testing.T, name, definition string, directives ...string) *container {
	t.Helper()
	if err := os.MkdirAll(hooks, 0o700); err != nil {
		t.Fatal(err)
	}
	return p.define(t, name, definition, append(directives, "EnvironmentFile=-"+hooks+"%N")...)
}

// steps lists the steps that a launch of c has, and those it has not.
func (c *container) steps(runtime string) (list, others []string) {
	c.t.Helper()
	if runtime == "bundle" {
		runtime = "own"
	}
	list = strings.Fields(must(c.t, helper, "steps", runtime))
	if runtime == "foreign" {
		return list, nil
	}
	var described []struct {
		Name    string
		Applies bool
	}
	if err := json.Unmarshal([]byte(must(c.t, "unitc", "plan", "--steps", "--json", c.name+"x")), &described); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range described {
		if s.Applies {
			list = append(list, s.Name)
		} else {
			others = append(others, s.Name)
		}
	}
	return list, others
}

func (c *container) arm(variable, step string) {
	c.t.Helper()
	if err := os.WriteFile(hooks+c.name, []byte(variable+"="+step+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) disarm() { os.Remove(hooks + c.name) }

// surviveKillAt starts c with a helper that dies at a step, and then as usual.
// expectKills tells whether it has died there.
func (c *container) surviveKillAt(step string) {
	c.t.Helper()
	c.arm("UNITC_STOP_AT", step)
	defer c.disarm()
	started := job(c.t, "start", c.unit())
	// Behind READY=1 there is only the relay left to lose, and what a session is told;
	// and that word itself, where PID 1 is too busy to read it before the end (S-9).
	behind := slices.Contains([]string{"become-relay", "tell-session", "report-former-end"}, step)
	if behind {
		c.awaitOutput(stoppedAt + step + "\n")
	}
	if started != behind && (started || c.show("Result") != "timeout") {
		c.t.Errorf("with the helper killed at %s the start is done: %v", step, started)
	}
	c.disarm()
	if !job(c.t, "restart", c.unit()) {
		c.t.Fatalf("%s does not start any more", c.unit())
	}
	c.expectSleep()
	c.kill()
	if !job(c.t, "stop", c.unit()) {
		c.t.Errorf("%s does not stop", c.unit())
	}
	resetFailed(c.unit())
	if c.t.Failed() {
		c.end()
	}
}

// stoppedAt is what a helper says that is armed with UNITC_STOP_AT.
const stoppedAt = "UNITC_STOP_AT: "

// expectKills demands that the helper of each of these containers has died at its
// step. The journal is asked for all at once.
func expectKills(t *testing.T, steps map[string]string) {
	t.Helper()
	missing := maps.Clone(steps)
	args := []string{"-q", "--no-pager", "-o", "json", "--output-fields=SYSLOG_IDENTIFIER,MESSAGE", "_TRANSPORT=stdout"}
	for name := range steps {
		args = append(args, "-t", name)
	}
	await(t, fmt.Sprintf("%d helpers have died at their steps", len(steps)), func() bool {
		must(t, "journalctl", "--sync")
		out, _ := command(t, "journalctl", args...)
		for line := range strings.Lines(out) {
			var entry struct {
				Name    string `json:"SYSLOG_IDENTIFIER"`
				Message string
			}
			if json.Unmarshal([]byte(line), &entry) == nil && missing[entry.Name] != "" && strings.HasSuffix(entry.Message, stoppedAt+missing[entry.Name]) {
				delete(missing, entry.Name)
			}
		}
		return len(missing) == 0
	})
}

// expectSleep: another runtime's start returns just before the payload's exec.
func (c *container) expectSleep() {
	c.t.Helper()
	if got := c.show("ActiveState"); got != "active" {
		c.t.Errorf("%s is %s", c.unit(), got)
	}
	await(c.t, "the payload sleeps", func() bool { return slices.Contains(processes(c.t, c.leaf()), "sleep infinity") })
}

// "PID 1 re-executed in mid-start": the start goes on.
//
//lab:once
func TestReexecInMidStart(t *testing.T) {
	reexecAtAll(t, strings.Fields(must(t, helper, "steps", "own")))
}

// Of the steps those that concern systemd.
//
//lab:others
func TestReexecWhereSystemdActs(t *testing.T) { reexecAtAll(t, systemdSteps) }

func reexecAtAll(t *testing.T, steps []string) {
	t.Helper()
	prepareCrash(t)
	leavesNothing(t, func() {
		t.Run("steps", func(t *testing.T) {
			var templates []*container
			for _, l := range launches[:2] {
				templates = append(templates, l.defineTemplate(t, "reexec@", l.definition))
			}
			for _, step := range steps {
				t.Run(step, func(t *testing.T) {
					// One at a time: the network is made beside the steps, and who is paused
					// may have the networks' lock.
					for _, template := range templates {
						reexecAt(t, template, step)
					}
				})
			}
		})
	})
}

func reexecAt(t *testing.T, template *container, step string) {
	c := template.instance(t, step)
	c.arm("UNITC_PAUSE_AT", step)
	must(t, "systemctl", "start", "--no-block", c.unit())
	helper := c.awaitPausedHelper()
	c.disarm()
	must(t, "systemctl", "daemon-reexec")
	if err := syscall.Kill(helper, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.await("ActiveState", "active")
	c.expectSleep()
	c.end()
}

// awaitPausedHelper waits until the helper has stopped itself.
func (c *container) awaitPausedHelper() int {
	c.t.Helper()
	helper := 0
	defer func() {
		if helper == 0 {
			c.t.Log(whereTheyAre("/unitc.slice/" + c.unit()))
		}
	}()
	await(c.t, "the helper has paused", func() bool {
		for _, pid := range pids("/unitc.slice/" + c.unit()) {
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			if strings.Contains(string(status), "Name:\tunitc-exec\n") && strings.Contains(string(status), "State:\tT") {
				helper, _ = strconv.Atoi(pid)
				return true
			}
		}
		return false
	})
	return helper
}

// whereTheyAre is where in the kernel the processes of a cgroup are, PID 1 and
// all that cannot be interrupted.
func whereTheyAre(cgroup string) string {
	var b strings.Builder
	dirs, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, dir := range dirs {
		group, _ := os.ReadFile(dir + "/cgroup")
		stat, _ := os.ReadFile(dir + "/stat")
		if !strings.Contains(string(group), cgroup) && !strings.Contains(string(stat), ") D ") && !strings.HasPrefix(dir, "/proc/1/") {
			continue
		}
		stack, _ := os.ReadFile(dir + "/stack")
		call, _ := os.ReadFile(dir + "/syscall")
		fmt.Fprintf(&b, "%s\n%s%s", stat[:min(len(stat), 60)], call, stack)
	}
	return b.String()
}

// "The relay killed": the payload's next line has no reader, as with any
// broken pipe; the next start works and nothing is left.
func TestRelayKilled(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			c := scoped.define(t, "relay", ticker).start()
			c.awaitTicks()
			relay, err := strconv.Atoi(pids("/unitc.slice/" + c.unit())[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(relay, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			must(t, "systemctl", "restart", c.unit())
			c.awaitTicks()
			c.stop()
		})
	})
}

// "The payload killed."
func TestPayloadKilled(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			everywhere(t, func(t *testing.T, p placement) {
				c := p.define(t, "killed", ticker).start()
				c.awaitTicks()
				if err := syscall.Kill(c.mainPID(), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				c.await("ActiveState", "failed")
				c.expect(c.unit(), "Result=signal", "ExecMainCode=2", "ExecMainStatus=9")
				c.start()
				c.awaitTicks()
				c.stop()
			})
		})
	})
}

// "The scope stopped by hand": the service ends with it, within the grace
// period of the definition.
func TestScopeStoppedByHand(t *testing.T) {
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			for _, definition := range []string{ticker, stubborn} {
				for _, p := range placements[:2] {
					name := "by-hand-" + strings.Fields(definition)[2][:4]
					t.Run(name+"-"+p.String(), func(t *testing.T) {
						t.Parallel()
						c := p.define(t, name, definition).start()
						await(t, "it runs", func() bool { return c.output() != "" })
						must(t, "systemctl", "stop", c.payloadUnit())
						await(t, "the service has ended", func() bool {
							return slices.Contains([]string{"inactive", "failed"}, c.show("ActiveState"))
						})
						c.start()
						c.expect(c.unit(), "ActiveState=active")
					})
				}
			}
		})
	})
}

// An engine's create that dies while the container's first process waits for its
// start: the container can be deleted, and made again.
//
//lab:once
func TestRuntimeKilledAtItsSteps(t *testing.T) {
	for _, step := range []string{"find-devices", "find-program", "await-start"} {
		err := runCase(t, ociCase{step, func(b *bundle) error {
			if step == "find-devices" {
				b.hostDev()
			}
			hook := []specs.Hook{{Path: "/bin/true"}}
			b.spec.Hooks = &specs.Hooks{StartContainer: hook, CreateRuntime: hook}
			if err := b.write(); err != nil {
				return err
			}
			create := b.command("create", "--bundle", b.dir, b.id)
			create.Env = append(os.Environ(), "UNITC_STOP_AT="+step)
			out, err := create.CombinedOutput()
			if status, ok := create.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				return fmt.Errorf("create was not killed: %v: %s", err, out)
			}
			if err := b.ok("delete", "--force", b.id); err != nil {
				return err
			}
			if left := b.left(); left != "" {
				return fmt.Errorf("left behind: %s", left)
			}
			return errors.Join(b.started(), b.hasStatus("running"))
		}}, ociRuntime)
		if err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// hostDev gives the container the host's /dev, in which a listed device must be.
func (b *bundle) hostDev() {
	i := slices.IndexFunc(b.spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
	b.spec.Mounts[i] = specs.Mount{Destination: "/dev", Type: "bind", Source: "/dev", Options: []string{"bind"}}
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}}
}

// A container's first process that is killed while a startContainer hook runs.
//
//lab:once
func TestContainerKilledInItsStartHook(t *testing.T) {
	err := runCase(t, ociCase{"start-container-hooks-held", func(b *bundle) error {
		b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1234"}}}}
		if err := b.create(); err != nil {
			return err
		}
		state, err := b.state()
		if err != nil {
			return err
		}
		pid, _ := state["pid"].(float64)
		first := int(pid)
		start := b.command("start", b.id)
		if err := start.Start(); err != nil {
			return err
		}
		defer start.Wait()
		children := fmt.Sprintf("/proc/%d/task/%d/children", first, first)
		err = eventually(func() error {
			hook, _ := os.ReadFile(children)
			line, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(hook)) + "/cmdline")
			if !strings.HasPrefix(string(line), "sleep\x001234") {
				return fmt.Errorf("its child is %q %q and not the hook", hook, line)
			}
			return nil
		})
		if err == nil {
			err = syscall.Kill(first, syscall.SIGKILL)
		}
		return errors.Join(err, b.awaitStatus("stopped"), b.ok("delete", b.id))
	}}, ociRuntime)
	if err != nil {
		t.Error(err)
	}
}
