// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"strings"
	"testing"
	"time"
)

// With another OCI runtime the unit, the scope, the logs, the stop and the
// limits are what they are with unitc's own, and nothing is left afterwards.
func TestOtherRuntimes(t *testing.T) {
	for _, runtime := range []string{"crun", "runc", "/usr/bin/crun"} {
		t.Run(strings.ReplaceAll(runtime, "/", "_"), func(t *testing.T) {
			cleanReload(t)
			data := t.TempDir()
			if err := os.Chmod(data, 0o755); err != nil {
				t.Fatal(err)
			}
			place(t, definitions+"other.yaml", `rootfs: host
runtime: `+runtime+`
command: [/bin/sh, -c, 'id -u; cat /proc/self/uid_map; echo mine > /data/file; trap "echo last words; exit 7" TERM; echo ready; sleep infinity & wait']
volumes: [`+data+`:/data]
pids_limit: 100
`)
			reload(t)
			must(t, "systemctl", "start", "other")
			awaitLine(t, "other", "ready")
			pid := property(t, "other", "MainPID")
			stat, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"PPid:\t1\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t00000000000004fb\n"} {
				if !strings.Contains(string(stat), want) {
					t.Errorf("the payload's status lacks %q:\n%s", want, stat)
				}
			}
			group, err := os.ReadFile("/proc/" + pid + "/cgroup")
			if err != nil || !strings.Contains(string(group), "0::/unitc.slice/unitc-other.scope/") {
				t.Errorf("the payload is in %s (%v)", group, err)
			}
			if got := property(t, "unitc-other.scope", "TasksMax"); got != "100" {
				t.Errorf("TasksMax of the scope is %s", got)
			}
			if got, err := os.ReadFile(data + "/file"); err != nil || string(got) != "mine\n" {
				t.Errorf("the volume has %q (%v)", got, err)
			}
			must(t, "systemctl", "stop", "other")
			if got := property(t, "other", "ExecMainStatus"); got != "7" {
				t.Errorf("the exit status is %s, the payload's was 7", got)
			}
			awaitLine(t, "other", "last words")
			if entries, err := os.ReadDir("/run/unitc/other"); err == nil {
				t.Errorf("/run/unitc/other still has %v", entries)
			}
			command(t, "systemctl", "reset-failed", "other")
		})
	}
}

func TestRuntimeThatIsMissing(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"missing.yaml", "rootfs: host\nruntime: no-such-runtime\ncommand: [/bin/true]\n")
	reload(t)
	if _, status := command(t, "systemctl", "start", "missing"); status == 0 {
		t.Fatal("it started")
	}
	out, _ := command(t, "systemctl", "status", "missing")
	if !strings.Contains(out, "missing.yaml:2:1: error: runtime: \"no-such-runtime\" is in none of") {
		t.Errorf("systemctl status says:\n%s", out)
	}
	must(t, "systemctl", "reset-failed", "missing")
}

// awaitLine waits until the unit's journal has a line.
func awaitLine(t *testing.T, unit, line string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		query := []string{"-q", "-o", "cat", "-u", unit}
		// A unit that has ended well may be unloaded, and its run's id with it. journald may
		// read a last line when the run is over, and finds no id for it then.
		if id := property(t, unit, "InvocationID"); id != "" && time.Until(deadline) > 30*time.Second {
			query = append(query, "_SYSTEMD_INVOCATION_ID="+id)
		}
		out := must(t, "journalctl", query...)
		if strings.Contains("\n"+out, "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the journal of %s has no line %q:\n%s\n%s", unit, line, out, whereabouts(t, unit))
		}
	}
}

// whereabouts says what a unit's processes are doing, for a failure's report.
func whereabouts(t *testing.T, unit string) string {
	t.Helper()
	status, _ := command(t, "systemctl", "status", "-l", "-n", "40", unit)
	threads, _ := command(t, "sh", "-c", `for t in /proc/$0/task/*; do echo "$t $(cat $t/comm) $(cat $t/wchan) $(cat $t/syscall)"; grep -E "^(State|TracerPid|SigBlk|SigIgn|Seccomp)" $t/status; done`,
		property(t, unit, "MainPID"))
	processes, _ := command(t, "ps", "-eo", "pid,ppid,stat,wchan:20,time,args")
	return status + threads + processes
}

// How the payload is scheduled is said in systemd's words: what a service's
// process is given, its children have too. Its umask is no other one's, and a
// directory of the service's own is in nobody's way.
func TestSchedulingReachesThePayload(t *testing.T) {
	cleanReload(t)
	const show = `nice; chrt -p $$$$; ionice -p $$$$; umask; grep Cpus_allowed_list /proc/self/status; head -1 /proc/self/numa_maps; cat /proc/self/coredump_filter; stat -c "%a %n" /one /one/two; echo ready`
	place(t, definitions+"lazy.yaml", "rootfs: host\ninit: true\nuser: nobody\ntmpfs: [/one/two/three]\ncommand: [/bin/sh, -c, '"+show+"; exec sleep 1000']\n"+
		"systemd: {service: {Nice: 7, CPUSchedulingPolicy: batch, IOSchedulingClass: idle, UMask: \"0027\", CPUAffinity: \"0\", NUMAPolicy: bind, NUMAMask: \"0\", CoredumpFilter: \"0x1\", RuntimeDirectory: lazy-things}}\n")
	reload(t)
	must(t, "systemctl", "start", "lazy")
	t.Cleanup(func() { must(t, "systemctl", "stop", "lazy") })
	awaitLine(t, "lazy", "ready")
	out := must(t, "journalctl", "-q", "-o", "cat", "-u", "lazy")
	for _, want := range []string{"\n7\n", "SCHED_BATCH", "\nidle\n", "\n0027\n", "Cpus_allowed_list:\t0\n", " bind:0 ", "\n00000001\n", "\n755 /one\n", "\n755 /one/two\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got := must(t, "unitc", "exec", "lazy", "sh", "-c", "umask"); got != "0027\n" {
		t.Errorf("the umask of a process that joins is %s", got)
	}
}

// With stdin_open a payload waits for input, which root can write; without it
// there is none.
func TestStdinOpen(t *testing.T) {
	cleanReload(t)
	const command = "rootfs: host\ninit: true\ncommand: [/bin/sh, -c, 'while read line; do echo got $$line; done; echo end of input; exec sleep 1000']\n"
	place(t, definitions+"listens.yaml", command+"stdin_open: true\n")
	place(t, definitions+"deaf.yaml", command)
	reload(t)
	must(t, "systemctl", "start", "listens", "deaf")
	t.Cleanup(func() { must(t, "systemctl", "stop", "listens", "deaf") })
	awaitLine(t, "deaf", "end of input")
	for _, word := range []string{"one", "two"} {
		must(t, "sh", "-c", "echo "+word+" >/run/unitc/listens/stdin")
		awaitLine(t, "listens", "got "+word)
	}
	must(t, "unitc", "exec", "listens", "sh", "-c", "echo three >/proc/2/fd/0")
	awaitLine(t, "listens", "got three")
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "listens"); strings.Contains(out, "end of input") {
		t.Errorf("the input ended:\n%s", out)
	}
}
