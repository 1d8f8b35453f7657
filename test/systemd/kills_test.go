// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
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
	"restart": ending + "\nrestart: always",
}

// Processes of ours are killed at any moment, whichever they are, while many
// containers start, stop and fail: nothing is left behind, and each starts again.
//
//lab:once
func TestAnythingKilledAtAnyMoment(t *testing.T) {
	loadBusybox(t, "localhost/killed:1")
	forgetVolumes(t)
	starts := 3
	if os.Getenv("UNITC_LAB_SLOW") == "1" {
		starts = 40
	}
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
			killed := map[string]int{}
			killer.Go(func() {
				for !stop.Load() {
					time.Sleep(time.Duration(rand.IntN(60000)) * time.Microsecond)
					if name := killOneOfOurs(); name != "" {
						killed[name]++
					}
				}
			})
			var failed atomic.Int32
			for _, name := range names {
				all.Go(func() {
					for range starts {
						if _, status := command(t, "systemctl", "start", name); status != 0 {
							failed.Add(1)
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
			t.Logf("%d starts, of which %d failed; killed: %v", starts*len(names), failed.Load(), killed)
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
}

// killOneOfOurs kills one of unitc's processes, and tells what it was.
func killOneOfOurs() string {
	var found []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		exe, _ := os.Readlink(dir + "/exe")
		comm, _ := os.ReadFile(dir + "/comm")
		if args, _ := os.ReadFile(dir + "/cmdline"); len(args) > 0 && (strings.HasPrefix(filepath.Base(exe), "unitc") || strings.HasPrefix(string(comm), "unitc-")) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return ""
	}
	pid := found[rand.IntN(len(found))]
	args, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	words := append(strings.Split(string(args), "\x00"), "", "")
	if syscall.Kill(pid, syscall.SIGKILL) != nil {
		return ""
	}
	return filepath.Base(words[0]) + " " + filepath.Base(words[1])
}

// moreOfTheHost is what snapshots do not have: interfaces, rules, the store.
func moreOfTheHost(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, argv := range [][]string{
		{"sh", "-c", "ip -o link | sed 's/^[0-9]*: //; s/@.*//' | cut -d: -f1 | cut -d' ' -f1"},
		{"nft", "list", "ruleset"},
		{"sh", "-c", "cd /var/lib/unitc && find . -path ./layers/\\*/fs -prune -o -print | sort"},
		{"sh", "-c", "find /run/unitc -mindepth 1 ! -path '/run/unitc/.ids*' | sort"},
		{"sh", "-c", "systemctl --failed --plain --no-legend | grep -E 'unitc|killed'"},
		{"sh", "-c", "ls /run/netns 2>/dev/null; grep -c unitc /proc/1/mountinfo"},
	} {
		out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		fmt.Fprintf(&b, "# %s\n%s", strings.Join(argv, " "), out)
	}
	return b.String()
}
