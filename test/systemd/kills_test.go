// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const ending = "rootfs: host\ncommand: [sh, -c, 'trap \"exit 0\" TERM; sleep 100 & wait']"

// killedKinds are containers that between them have every program of ours beside
// them at some time.
var killedKinds = map[string]string{
	"alone":   ending + traceless,
	"init":    ending + traceless + "\ninit: true",
	"pid":     ending + traceless + "\npid: host",
	"bridge":  ending + "\nports: ['127.0.0.1:18%d:80']",
	"image":   "image: localhost/killed:1\ninit: true\npull_policy: never\ndns: [127.0.0.1]",
	"volume":  "image: localhost/killed:1\ninit: true\npull_policy: never\nnetwork_mode: none\nvolumes: [killed:/v]",
	"health":  ending + "\nhealthcheck: {test: [CMD, 'true'], interval: 50ms}",
	"tty":     ending + "\ntty: true",
	"service": ending + "\nsystemd: {cgroup: service}",
	"foreign": ending + "\nruntime: crun",
	"json":    ending + "\nuser: nobody\nstdin_open: true\nlogging: {options: {format: json}}\nhealthcheck: {test: [CMD, 'true'], interval: 50ms}",
	"notify":  strings.Replace(ending, "sleep 100", "systemd-notify --ready; sleep 100", 1) + "\nsystemd: {notify: container, unit: {StartLimitIntervalSec: 0}}",
	"restart": ending + "\nrestart: always",
}

// Processes of ours are killed at any moment, whichever they are, while many
// containers start, stop and fail: nothing is left behind, and each starts again.
//
//lab:once
func TestAnythingKilledAtAnyMoment(t *testing.T) {
	disturbed(t, 200*time.Millisecond, killOneOfOurs)
}

// Processes of ours are stopped for a moment, or get a signal that says nothing, at any
// moment: a wait that a signal ends (signal(7)) is no end of what is waited for. No start
// fails.
//
//lab:once
func TestAnythingInterruptedAtAnyMoment(t *testing.T) {
	if failed := disturbed(t, 5*time.Millisecond, interruptOneOfOurs); failed > 0 {
		t.Errorf("%d starts failed", failed)
	}
}

// disturbed starts and stops all kinds of containers, disturbs them after pauses of up
// to that length, and gives how many starts have failed.
func disturbed(t *testing.T, pause time.Duration, disturb func() string) int32 {
	t.Helper()
	loadBusybox(t, "localhost/killed:1")
	forgetVolumes(t)
	starts := 3
	if os.Getenv("UNITC_LAB_SLOW") == "1" {
		starts = 40
	}
	var failed atomic.Int32
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			var names []string
			for kind, text := range killedKinds {
				names = append(names, "killed-"+kind)
				if strings.Contains(text, "%d") {
					text = fmt.Sprintf(text, 10)
				}
				text += "\nstop_grace_period: 2s\nsystemd: {unit: {StartLimitIntervalSec: 0}}\n"
				if strings.Count(text, "systemd:") > 1 {
					text = strings.Replace(text, "\nsystemd: {unit: {StartLimitIntervalSec: 0}}\n", "\n", 1)
				}
				place(t, "/etc/unitc/killed-"+kind+".yaml", text)
				place(t, "/run/systemd/system/killed-"+kind+".service.d/test.conf", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nTimeoutStartSec=20\nRestartSec=50ms\n")
			}
			slices.Sort(names)
			reload(t)
			for _, name := range names { // what the first start of all makes is no remains
				must(t, "systemctl", "start", name)
			}
			for _, name := range names {
				must(t, "systemctl", "stop", name)
			}
			await(t, "all is swept up", isSettled)
			before := moreOfTheHost(t)
			var stop atomic.Bool
			var killer, all sync.WaitGroup
			hit := map[string]int{}
			killer.Go(func() {
				for !stop.Load() {
					time.Sleep(time.Duration(rand.IntN(int(pause))))
					if name := disturb(); name != "" {
						hit[name]++
					}
				}
			})
			for _, name := range names {
				all.Go(func() {
					for range starts {
						if _, status := command(t, "systemctl", "start", name); status != 0 {
							failed.Add(1)
							if got := property(t, name, "Result"); got == "timeout" {
								log, _ := command(t, "journalctl", "-q", "-o", "short-monotonic", "-n", "30", "-u", name)
								t.Errorf("a start of %s hangs:\n%s", name, log)
							}
						}
						time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
						command(t, "systemctl", "stop", name)
						command(t, "systemctl", "reset-failed", name)
					}
				})
			}
			all.Wait()
			stop.Store(true)
			killer.Wait()
			t.Logf("%d starts, of which %d failed; hit: %v", starts*len(names), failed.Load(), hit)
			for _, name := range names {
				must(t, "systemctl", "start", name)
			}
			for _, name := range names {
				must(t, "systemctl", "stop", name)
			}
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
				after := moreOfTheHost(t)
				if after == before {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("before:\n%s\nafter:\n%s", before, after)
				}
			}
		})
	})
	return failed.Load()
}

// oneOfOurs is one of unitc's processes, with what it is called, each kind as likely as
// another; 0 = there is none.
func oneOfOurs() (int, string) {
	found := map[string][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		exe, _ := os.Readlink(dir + "/exe")
		comm, _ := os.ReadFile(dir + "/comm")
		if args, _ := os.ReadFile(dir + "/cmdline"); len(args) > 0 && (strings.HasPrefix(filepath.Base(exe), "unitc") || strings.HasPrefix(string(comm), "unitc-")) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			words := append(strings.Split(string(args), "\x00"), "", "")
			name := filepath.Base(words[0]) + " " + filepath.Base(words[1])
			found[name] = append(found[name], pid)
		}
	}
	names := slices.Collect(maps.Keys(found))
	if len(names) == 0 {
		return 0, ""
	}
	name := names[rand.IntN(len(names))]
	return found[name][rand.IntN(len(found[name]))], name
}

// killOneOfOurs tells what it was.
func killOneOfOurs() string {
	pid, name := oneOfOurs()
	if pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		return ""
	}
	return name
}

// interruptOneOfOurs has signals that end nothing come in the middle of its calls.
func interruptOneOfOurs() string {
	pid, name := oneOfOurs()
	if pid == 0 {
		return ""
	}
	// It may be another's by the time it goes on.
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(pidfd)
	for range 1 + rand.IntN(20) {
		_ = unix.PidfdSendSignal(pidfd, []unix.Signal{unix.SIGCHLD, unix.SIGURG}[rand.IntN(2)], nil, 0)
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
	}
	_ = unix.PidfdSendSignal(pidfd, unix.SIGSTOP, nil, 0)
	time.Sleep(time.Duration(rand.IntN(20000)) * time.Microsecond)
	_ = unix.PidfdSendSignal(pidfd, unix.SIGCONT, nil, 0)
	return name
}

// moreOfTheHost is what snapshots do not have: interfaces, rules, the store.
func moreOfTheHost(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, argv := range [][]string{
		{"sh", "-c", "ip -o link | sed 's/^[0-9]*: //; s/@.*//' | cut -d: -f1 | cut -d' ' -f1"},
		{"nft", "list", "ruleset"},
		{"sh", "-c", "cd /var/lib/unitc && find . -path ./layers/\\*/fs -prune -o -print | sort"},
		{"sh", "-c", "find /run/unitc -mindepth 1 ! -path '/run/unitc/.ids*' ! -path /run/unitc/.turn | sort"},
		{"sh", "-c", "systemctl --failed --plain --no-legend | grep -E 'unitc|killed'"},
		{"sh", "-c", "ls /run/netns 2>/dev/null; grep -c unitc /proc/1/mountinfo"},
	} {
		out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		fmt.Fprintf(&b, "# %s\n%s", strings.Join(argv, " "), out)
	}
	return b.String()
}
