// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// unitBundle is a bundle for a unit, its state aside.
func unitBundle(t *testing.T, script string) *bundle {
	t.Helper()
	b := newBundle(t, ociRuntime)
	t.Cleanup(func() { os.RemoveAll(b.dir) })
	b.spec.Process.Args = []string{"sh", "-c", script}
	return b
}

func (b *bundle) writeOrFail(t *testing.T) {
	t.Helper()
	if err := b.write(); err != nil {
		t.Fatal(err)
	}
}

// An existing bundle is a unit: its output, its limits, its hooks, its stop and
// its restart are systemd's, and what confines it is what its config.json says.
func TestBundle(t *testing.T) {
	for _, runtime := range []string{"", "crun"} {
		t.Run("runtime="+runtime, func(t *testing.T) {
			leavesNothing(t, func() {
				b := unitBundle(t, `cat /proc/sys/kernel/hostname; echo $FROM; trap "echo last words; exit 7" TERM; echo ready; while :; do sleep 0.1; done`)
				defer os.RemoveAll(b.dir)
				memory, pids := int64(64<<20), int64(77)
				b.spec.Linux.Resources = &specs.LinuxResources{
					Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids},
					Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
				}
				if runtime == "" {
					b.spec.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat >" + b.dir + "/poststop"}}}}
				}
				b.writeOrFail(t)
				text := "bundle: " + b.dir + "\ncpus: 0.5\nstop_grace_period: 60s\nrestart: on-failure\nsystemd: {service: {RestartForceExitStatus: 42}}\n"
				if runtime != "" {
					text += "runtime: " + runtime + "\n"
				}
				place(t, definitions+"boxed.yaml", text)
				reload(t)
				must(t, "systemctl", "start", "boxed")
				for _, line := range []string{"box", "config", "ready"} {
					awaitLine(t, "boxed", line)
				}
				for name, want := range map[string]string{"MemoryMax": "67108864", "TasksMax": "77", "CPUQuotaPerSecUSec": "500ms", "DevicePolicy": "closed"} {
					if got := property(t, "unitc-boxed.scope", name); got != want {
						t.Errorf("%s of the scope is %s, want %s", name, got, want)
					}
				}
				status := file(t, "/proc/"+property(t, "boxed", "MainPID")+"/status")
				for _, want := range []string{"PPid:\t1\n", "NoNewPrivs:\t1\n", "CapEff:\t00000000080000e2\n", "Uid:\t0\t0\t0\t0\n"} {
					if !strings.Contains(status, want) {
						t.Errorf("the payload's status lacks %q:\n%s", want, status)
					}
				}
				if got := list(t, "unitc", "ps", "--json")["boxed"]; got.State != "running" || got.Image != "bundle:"+b.dir {
					t.Errorf("it is listed as %+v", got)
				}
				if out := must(t, "unitc", "exec", "boxed", "sh", "-c", "echo $FROM"); out != "config\n" {
					t.Errorf("exec prints %q", out)
				}
				must(t, "systemctl", "stop", "boxed")
				if got := property(t, "boxed", "ExecMainStatus"); got != "7" {
					t.Errorf("the exit status is %s, the payload's was 7", got)
				}
				awaitLine(t, "boxed", "last words")
				if runtime == "" {
					if got := file(t, b.dir+"/poststop"); !strings.Contains(got, `"bundle":"`+b.dir+`"`) {
						t.Errorf("the poststop hook reads %s", got)
					}
				}
				command(t, "systemctl", "reset-failed", "boxed")
				_ = os.Remove(definitions + "boxed.yaml")
				reload(t)
			})
		})
	}
}

// What a definition starts, `unitc spec` writes, and a bundle of it starts the
// same: as a unit, and in the foreground.
//
//lab:once
func TestBundleCircle(t *testing.T) {
	leavesNothing(t, func() {
		data := t.TempDir()
		if err := os.Chmod(data, 0o755); err != nil {
			t.Fatal(err)
		}
		script := `id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups; stat -c %u:%g /usr /etc/passwd /data; grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status; hostname; readlink /proc/self/exe; echo whole`
		place(t, definitions+"first.yaml", "rootfs: host\nhostname: same\ncommand: [/bin/sh, -c, '"+script+"']\nnetwork_mode: none\nuser: \"7:8\"\nvolumes: [\""+data+":/data\"]\n")
		reload(t)
		must(t, "systemctl", "start", "first")
		awaitLine(t, "first", "whole")
		want := strings.Join(linesOf(t, "first"), "\n")
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/config.json", []byte(must(t, "unitc", "spec", "first")), 0o600); err != nil {
			t.Fatal(err)
		}
		place(t, definitions+"second.yaml", "bundle: "+dir+"\n")
		reload(t)
		must(t, "systemctl", "start", "second")
		awaitLine(t, "second", "whole")
		if got := strings.Join(linesOf(t, "second"), "\n"); got != want {
			t.Errorf("the bundle prints\n%s\nand the definition\n%s", got, want)
		}
		if got, status := command(t, "unitc", "run", "--bundle", dir); status != 0 || strings.Join(strings.Fields(got), "\n") != want {
			t.Errorf("unitc run --bundle exits with %d and prints\n%s\nwant\n%s", status, got, want)
		}
		must(t, "systemctl", "stop", "first", "second")
		_ = os.Remove(definitions + "first.yaml")
		_ = os.Remove(definitions + "second.yaml")
		reload(t)
	})
}

// linesOf is what a unit's payload has printed.
func linesOf(t *testing.T, unit string) []string {
	t.Helper()
	return strings.Fields(must(t, "journalctl", "-o", "cat", "--no-pager", "-t", unit, "-u", unit))
}

//lab:once
func TestRunBundle(t *testing.T) {
	leavesNothing(t, func() {
		b := unitBundle(t, "echo $FROM; exit 9")
		defer os.RemoveAll(b.dir)
		b.writeOrFail(t)
		if out, status := command(t, "unitc", "run", "--bundle", b.dir); out != "config\n" || status != 9 {
			t.Errorf("run --bundle: %d %q", status, out)
		}
		for _, c := range []struct {
			args   []string
			status int
			says   string
		}{
			{[]string{"--bundle", b.dir, "sh"}, 2, "config.json says what runs"},
			{[]string{"--bundle", b.dir, "--rootfs", "host"}, 2, "config.json says what runs"},
			{[]string{"--bundle", b.dir, "-e", "A=b"}, 125, "--env: config.json of the bundle"},
			{[]string{"--bundle", "/no/such/bundle"}, 125, "config.json not found"},
		} {
			if out, status := command(t, "unitc", append([]string{"run"}, c.args...)...); status != c.status || !strings.Contains(out, c.says) {
				t.Errorf("%q: %d, want %d and %q:\n%s", c.args, status, c.status, c.says, out)
			}
		}
		b.spec.Process.Terminal = true
		b.spec.Process.Args = []string{"sh", "-c", "tty; exit 3"}
		b.writeOrFail(t)
		if out, status := command(t, "unitc", "run", "--bundle", b.dir); status != 125 || !strings.Contains(out, "-t") {
			t.Errorf("a terminal that nobody gives: %d %q", status, out)
		}
		cmd, terminal := onTerminal(t, "unitc", "run", "-it", "--bundle", b.dir)
		readUntil(t, terminal, "/dev/pts/0")
		_ = cmd.Wait()
		terminal.Close()
		if got := cmd.ProcessState.ExitCode(); got != 3 {
			t.Errorf("on a terminal it exits with %d, want 3", got)
		}
	})
}

// What a bundle asks for and a unit cannot give is told at its line, and starts
// nothing.
//
//lab:once
func TestBundleThatIsNone(t *testing.T) {
	leavesNothing(t, func() {
		for _, c := range []struct {
			change func(*specs.Spec)
			text   string
			says   string
		}{
			{func(s *specs.Spec) { s.Root = nil }, "", "root.path is missing"},
			{func(s *specs.Spec) { s.Process.Terminal = true }, "", "tty: true"},
			{func(s *specs.Spec) { s.Process.Cwd = "tmp" }, "", "Cwd must be an absolute path"},
			{func(s *specs.Spec) { s.Version = "2.0.0" }, "", "is not supported"},
			{func(s *specs.Spec) {
				s.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}
			}, "", "linux.resources.unified"},
			{func(s *specs.Spec) {
				n := int64(1)
				s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
			}, "systemd: {cgroup: service}\n", "systemd.cgroup"},
			{func(s *specs.Spec) {
				s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "x", Access: "r"}}}
			}, "", `linux.resources.devices[0]: unknown type`},
			{func(s *specs.Spec) { s.Domainname = "example.org" }, "runtime: runc\n", "domainname of the bundle"},
		} {
			b := unitBundle(t, "exit 0")
			c.change(b.spec)
			b.writeOrFail(t)
			place(t, definitions+"broken.yaml", "bundle: "+b.dir+"\n"+c.text)
			reload(t)
			if _, status := command(t, "systemctl", "start", "broken"); status == 0 {
				t.Errorf("a bundle starts that should say %q", c.says)
			}
			if out := must(t, "journalctl", "-o", "cat", "--no-pager", "-u", "broken"); !strings.Contains(out, c.says) || !strings.Contains(out, "broken.yaml:") {
				t.Errorf("the journal does not say %q at its line:\n%s", c.says, out)
			}
			command(t, "systemctl", "reset-failed", "broken")
			os.RemoveAll(b.dir)
		}
		place(t, definitions+"broken.yaml", "bundle: /srv/bundle\ncommand: [sh]\nrootfs: host\nread_only: true\n")
		if out, status := command(t, "unitc", "check"); status == 0 || strings.Count(out, "config.json of the bundle at line 1 says it") != 3 {
			t.Errorf("unitc check: %d\n%s", status, out)
		}
		_ = os.Remove(definitions + "broken.yaml")
		reload(t)
		command(t, "systemctl", "reset-failed", "broken")
	})
}

// The hooks of a bundle run at all six points, a failing one stops the start, and
// the last ones run whatever came before.
func TestBundleHooks(t *testing.T) {
	leavesNothing(t, func() {
		points := []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
		for i, fails := range points {
			b := unitBundle(t, `trap "exit 0" TERM; while :; do sleep 0.1; done`)
			hook := map[string][]specs.Hook{}
			for _, point := range points {
				script := "cat >>" + b.dir + "/rootfs/tmp/" + point
				if point == "startContainer" {
					script = "cat >>/tmp/" + point // it is inside
				}
				if point == fails {
					script += "; exit 3"
				}
				hook[point] = []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}}}
			}
			b.spec.Hooks = &specs.Hooks{
				//lint:ignore SA1019 still specified
				Prestart:      hook["prestart"],
				CreateRuntime: hook["createRuntime"], CreateContainer: hook["createContainer"], StartContainer: hook["startContainer"], Poststart: hook["poststart"], Poststop: hook["poststop"],
			}
			b.writeOrFail(t)
			place(t, definitions+"hooked.yaml", "bundle: "+b.dir+"\n")
			reload(t)
			begin := time.Now()
			_, status := command(t, "systemctl", "start", "hooked")
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("%s fails: the start takes %v", fails, took)
			}
			if (status == 0) != (fails == "poststop") {
				t.Errorf("%s fails: systemctl start exits with %d", fails, status)
			}
			if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "hooked"); status != 0 && !strings.Contains(out, "hooks."+fails+"[0]") {
				t.Errorf("the journal does not tell of %s:\n%s", fails, out)
			}
			must(t, "systemctl", "stop", "hooked")
			for n, point := range points {
				state, _ := os.ReadFile(b.dir + "/rootfs/tmp/" + point)
				if ran := strings.Contains(string(state), `"id":"hooked"`); ran != (n <= i || point == "poststop") {
					t.Errorf("%s fails: %s ran: %t %s", fails, point, ran, state)
				}
				if strings.Count(string(state), `"id"`) > 1 {
					t.Errorf("%s fails: %s ran more than once: %s", fails, point, state)
				}
			}
			command(t, "systemctl", "reset-failed", "hooked")
			_ = os.Remove(definitions + "hooked.yaml")
			reload(t)
			os.RemoveAll(b.dir)
		}
	})
}

// What a unit makes nothing of is said in the container's log, and the container
// runs.
//
//lab:once
func TestBundleNotes(t *testing.T) {
	leavesNothing(t, func() {
		b := unitBundle(t, `echo ready; trap "exit 0" TERM; while :; do sleep 0.1; done`)
		defer os.RemoveAll(b.dir)
		b.spec.Linux.CgroupsPath = "/a/b"
		b.spec.Process.Capabilities.Bounding = append(b.spec.Process.Capabilities.Bounding, "CAP_NEW")
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/tmp", Type: "bind", Source: "/usr", Options: []string{"bind", "size=1m"}})
		b.writeOrFail(t)
		place(t, definitions+"noted.yaml", "bundle: "+b.dir+"\n")
		reload(t)
		must(t, "systemctl", "start", "noted")
		awaitLine(t, "noted", "ready")
		out := must(t, "journalctl", "-q", "-o", "cat", "-p", "warning", "-u", "noted")
		for _, want := range []string{`bundle: linux.cgroupsPath "/a/b" counts for nothing`, "bundle: process.capabilities: CAP_NEW cannot be given", "bundle: options of file systems count for nothing on bind mounts: mounts[5] /tmp: size=1m"} {
			if !strings.Contains(out, want) {
				t.Errorf("the log does not say %q:\n%s", want, out)
			}
		}
		must(t, "systemctl", "stop", "noted")
		_ = os.Remove(definitions + "noted.yaml")
		reload(t)
	})
}
