// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// why is what `unitc why --json` says of one container.
func why(t *testing.T, name string) map[string]any {
	t.Helper()
	var list []map[string]any
	// A journald that other tests keep busy is spoken of on stderr.
	cmd := exec.Command("unitc", "why", "--json", name)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) > 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// "On every failed or unexpected exit, clean-up writes one journal entry
// (MESSAGE_ID, catalog text): exit status or signal, OOM with limit and peak, …
// last probe, last 20 lines, restarts so far, and the suggestion."
func TestWhy(t *testing.T) {
	t.Parallel()
	place(t, "/run/mkdir-is-death.json", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}`)
	for name, c := range map[string]struct {
		definition, systemd string
		provoke             func(c *container)
		want                map[string]string
	}{
		"exit": {
			definition: "command: [sh, -c, 'i=0; while [ $$i -lt 30 ]; do i=$$((i+1)); echo line $$i; done; exit 7']",
			want:       map[string]string{"cause": "exited with status 7", "result": "exit-code", "exit_status": "7"},
		},
		"signal": {
			definition: "command: [sh, -c, 'echo line 30; exec sleep infinity']",
			provoke:    func(c *container) { c.awaitOutput("line 30\n"); _ = syscall.Kill(c.mainPID(), syscall.SIGKILL) },
			want:       map[string]string{"cause": "killed by SIGKILL", "result": "signal", "exit_status": "KILL"},
		},
		"memory": {
			definition: "mem_limit: 64m\ncommand: [sh, -c, 'echo line 30; exec sleep infinity']",
			provoke: func(c *container) {
				c.awaitOutput("line 30\n")
				// The kernel's words, as the kernel of this machine has no such limits.
				for _, line := range []string{"memory: usage 65500kB, limit 65536kB, failcnt 33", "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/unitc.slice/" + c.payloadUnit() + ",task_memcg=/x,task=sh,pid=1,uid=0"} {
					tellKernel(c.t, line)
				}
				_ = syscall.Kill(c.mainPID(), syscall.SIGKILL)
			},
			want: map[string]string{"cause": "killed: the memory limit of 64 MiB was hit", "suggestion": "(`mem_limit: 96m`)", "memory_peak": "65500 KiB", "memory_limit": "64 MiB"},
		},
		"probe": {
			// It has much to say at its end, and lines like ours.
			definition: "tmpfs: [/run/app]\nhealthcheck: {interval: 100ms, retries: 2}\ncommand: [sh, -c, 'trap \"i=0; while [ \\$$i -lt 400 ]; do i=\\$$((i+1)); echo unhealthy: line \\$$i; done; exit 1\" TERM ABRT; while sleep 0.05; do :; done']",
			systemd:    "probe: {file: /run/app/ready}",
			want:       map[string]string{"cause": "unhealthy: file /run/app/ready: no such file or directory, 2 of 2", "result": "watchdog", "probe": "2 of 2"},
		},
		"pids": {
			definition: "pids_limit: 100\ncommand: [sh, -c, 'trap \"exit 9\" USR1; echo line 30; while sleep 0.05; do :; done']",
			provoke: func(c *container) {
				c.awaitOutput("line 30\n")
				tellKernel(c.t, "cgroup: fork rejected by pids controller in /unitc.slice/"+c.payloadUnit())
				c.signal("USR1")
			},
			want: map[string]string{"cause": "exited with status 9; its limit on processes kept it from starting more", "suggestion": "(`pids_limit: 200`)"},
		},
		"seccomp": {
			definition: "tmpfs: [/tmp]\nsecurity_opt: [seccomp=/run/mkdir-is-death.json]\ncommand: [sh, -c, 'echo line 30; exec mkdir /tmp/x']",
			want:       map[string]string{"cause": "a system call that its seccomp profile answers with death", "exit_status": "SYS", "suggestion": "ausyscall"},
		},
		"lsm": {
			definition: "command: [sh, -c, 'trap \"exit 13\" USR1; echo line 30; while sleep 0.05; do :; done']",
			provoke: func(c *container) {
				c.awaitOutput("line 30\n")
				var st syscall.Stat_t
				if err := syscall.Stat(fmt.Sprint("/proc/", c.mainPID()), &st); err != nil {
					c.t.Fatal(err)
				}
				tellKernel(c.t, fmt.Sprintf(`audit: type=1400 audit(1.0:1): apparmor="DENIED" operation="open" profile="web" name="/secret" pid=1 comm="sh" fsuid=%d ouid=0`, st.Uid))
				tellKernel(c.t, `audit: type=1400 audit(1.0:1): apparmor="DENIED" operation="open" profile="other" name="/secret" pid=1 comm="sh" fsuid=1 ouid=0`)
				c.signal("USR1")
			},
			want: map[string]string{"cause": "exited with status 13; AppArmor's profile web refused open of /secret", "denied": `profile="web" name="/secret"`,
				"suggestion": "security_opt: [apparmor=PROFILE]"},
		},
		"launch": {
			definition: "command: [/nowhere/at/all]",
			want:       map[string]string{"cause": "as a launch does that has failed", "result": "exit-code"},
		},
	} {
		both(t, name, func(t *testing.T, kind, more string) {
			u := scoped.defineProbe(t, fresh("why-"+name+"-"+kind), "rootfs: host\nstop_grace_period: 3s\n"+c.definition+more, c.systemd)
			if got := why(t, u.name); got != nil {
				t.Errorf("before it has run: %v", got)
			}
			u.startAsync()
			if c.provoke != nil {
				u.await("ActiveState", "active")
				c.provoke(u)
			}
			u.await("ActiveState", "failed")
			got := why(t, u.name)
			for key, want := range c.want {
				if said, _ := got[key].(string); !strings.Contains(said, want) {
					t.Errorf("%s is %q, not %q", key, said, want)
				}
			}
			lines, _ := got["lines"].([]any)
			if name == "launch" {
				if len(lines) == 0 || !strings.Contains(lines[len(lines)-1].(string), "/nowhere/at/all") {
					t.Errorf("the last lines are %q", lines)
				}
			} else if len(lines) == 0 || len(lines) > 20 || name != "probe" && lines[len(lines)-1] != "line 30" {
				t.Errorf("the last lines are %q", lines)
			}
			text := must(t, "unitc", "why", u.name)
			if !strings.HasPrefix(text, u.unit()+" failed ") {
				t.Errorf("unitc why says\n%s", text)
			}
		})
	}
}

// A start that systemd drops to break an ordering cycle has no failure and, told
// before journald runs, no entry of the unit.
func TestWhyOfADroppedStart(t *testing.T) {
	for _, name := range []string{"dropped-a", "dropped-b"} {
		other := map[string]string{"dropped-a": "dropped-b", "dropped-b": "dropped-a"}[name]
		defineFor(t, name, sleeper+"network_mode: none\nsystemd: {unit: {After: "+other+".service}}\n")
	}
	const target = "/run/systemd/system/dropped.target"
	place(t, target, "[Unit]\nWants=dropped-a.service dropped-b.service\n")
	reload(t)
	must(t, "systemctl", "start", "dropped.target")
	t.Cleanup(func() { command(t, "systemctl", "stop", "dropped.target") })
	started, dropped := "dropped-a", "dropped-b"
	if property(t, started+".service", "ActiveState") == "inactive" {
		started, dropped = dropped, started
	}
	if got := why(t, started); got != nil {
		t.Errorf("of the one that runs: %v", got)
	}
	check := func(name, cycle string) {
		t.Helper()
		got := why(t, name)
		if got == nil {
			t.Fatal("nothing is said of the one that was dropped")
		}
		if cause, _ := got["cause"].(string); !strings.Contains(cause, "ordering cycle") {
			t.Errorf("the cause is %q", cause)
		}
		if lines := fmt.Sprint(got["lines"]); !strings.Contains(lines, cycle) || !strings.Contains(lines, name+".service/start deleted") {
			t.Errorf("the lines are %s", lines)
		}
	}
	check(dropped, "Found ordering cycle")
	must(t, "systemctl", "start", dropped)
	if got := why(t, dropped); got != nil {
		t.Errorf("of one that was started since: %v", got)
	}
	// As at boot. The kernel's log is that of the whole machine, and stays.
	c := fmt.Sprint("dropped-", time.Now().UnixNano())
	defineFor(t, c, sleeper)
	if got := why(t, c); got != nil {
		t.Errorf("of one that nobody wanted: %v", got)
	}
	tellKernel(t, "systemd[1]: basic.target: Found ordering cycle: sockets.target/start after "+c+".service/start - after sockets.target")
	tellKernel(t, "systemd[1]: basic.target: Job "+c+".service/start deleted to break ordering cycle starting with basic.target/start")
	check(c, "sockets.target/start after "+c)
}

// tellKernel writes to the kernel's log, which drops what comes too fast.
func tellKernel(t *testing.T, line string) {
	t.Helper()
	await(t, "the kernel's log has "+line, func() bool {
		if err := os.WriteFile("/dev/kmsg", []byte(line), 0); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		conn, err := f.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		_ = conn.Read(func(fd uintptr) bool {
			b := make([]byte, 8192)
			for {
				n, err := syscall.Read(int(fd), b)
				if err == syscall.EPIPE || err == syscall.EINTR {
					continue
				}
				if err != nil || n <= 0 {
					return true
				}
				found = found || strings.Contains(string(b[:n]), line)
			}
		})
		return found
	})
}

// The entry counts the restarts before it.
func TestWhyCountsRestarts(t *testing.T) {
	t.Parallel()
	u := scoped.define(t, "why-again", endless+"\nrestart: on-failure", "RestartSec=100ms").start()
	kill := func() {
		before := u.mainPID()
		_ = syscall.Kill(before, syscall.SIGKILL)
		await(t, "it is started again", func() bool {
			pid := u.show("MainPID")
			return u.show("ActiveState") == "active" && pid != "0" && pid != strconv.Itoa(before)
		})
	}
	kill()
	// In the flood of another test journald writes later, and of what PID 1 tells one that
	// takes no more it has nothing: then the next end is told.
	killed := time.Time{}
	await(t, "the restarts are told", func() bool {
		if time.Since(killed) > 10*time.Second {
			kill()
			killed = time.Now()
		}
		n, _ := why(t, u.name)["restarts"].(float64)
		return n >= 1
	})
}

// An orderly end leaves no entry, and `journalctl -x` explains one.
func TestWhyOnlyFailures(t *testing.T) {
	u := scoped.define(t, fresh("why-not"), endless+"\ninit: true").start()
	u.stop()
	if got := why(t, u.name); got != nil {
		t.Errorf("after a stop: %v", got)
	}
	f := scoped.define(t, fresh("why-catalog"), "rootfs: host\ncommand: [\"false\"]").startAsync()
	f.await("ActiveState", "failed")
	must(t, "journalctl", "--update-catalog")
	await(t, "there is an entry", func() bool { return len(f.entries()) == 1 })
	out := must(t, "journalctl", "-q", "--no-pager", "-x", "UNITC_UNIT="+f.unit())
	if !strings.Contains(out, "Subject: Container "+f.unit()+" has failed") || !strings.Contains(out, "exited with status 1") {
		t.Errorf("journalctl -x says\n%s", out)
	}
}

// A sandbox that a drop-in puts the helper in may end a start without a word, and
// clean-up too: it is named all the same.
func TestWhyNamesADropIn(t *testing.T) {
	cleanReload(t)
	for name, text := range map[string]string{"why-hard": "network_mode: none\n", "why-hardnet": ""} {
		place(t, definitions+name+".yaml", "rootfs: host\ncommand: [/bin/true]\n"+text)
		place(t, "/etc/systemd/system/"+name+".service.d/test.conf", "[Service]\nSystemCallFilter=@system-service\n")
	}
	place(t, definitions+"why-starved.yaml", "rootfs: host\ncommand: [/bin/true]\nnetwork_mode: none\n")
	place(t, "/etc/systemd/system/why-starved.service.d/test.conf", "[Service]\nLimitAS=100M\n")
	reload(t)
	if out, status := command(t, "systemctl", "start", "why-starved"); status == 0 {
		t.Errorf("it starts without memory: %s", out)
	}
	if out, _ := command(t, "unitc", "why", "why-starved"); !strings.Contains(out, "test.conf:2: LimitAS: it acts on unitc's helper too, which it may keep from starting the container; take it out, and in the definition write ulimits: as:") {
		t.Errorf("unitc why does not name the drop-in:\n%s", out)
	}
	must(t, "systemctl", "reset-failed", "why-starved")
	for _, name := range []string{"why-hard", "why-hardnet"} {
		if out, status := command(t, "systemctl", "start", name); status == 0 {
			t.Errorf("%s starts: %s", name, out)
		}
		out, _ := command(t, "unitc", "why", name)
		if want := "/etc/systemd/system/" + name + ".service.d/test.conf:2: SystemCallFilter: it acts on unitc's helper"; !strings.Contains(out, want) {
			t.Errorf("unitc why does not say %q:\n%s", want, out)
		}
		must(t, "systemctl", "reset-failed", name)
	}
	// Clean-up was forbidden its calls, too.
	must(t, "unitc", "network", "prune")
}
