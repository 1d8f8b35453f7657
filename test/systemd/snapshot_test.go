// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// snapshot is what a container could leave behind on the host, one line each:
// mounts, cgroups, units, processes, files.
type snapshot []string

func takeSnapshot() snapshot {
	reloads.pay()
	var s snapshot
	s.mounts()
	s.units()
	s.processes()
	s.tree("cgroup", "/sys/fs/cgroup", isLastingCgroup)
	for _, dir := range []string{"/run/unitc", "/run/systemd/transient", "/run/netns"} {
		s.tree("file", dir, isNotClaim)
	}
	slices.Sort(s)
	return s
}

// isNotClaim leaves out the claims of id ranges, one per unit name, which a
// container keeps until the next boot (package idrange).
func isNotClaim(path string, _ fs.DirEntry) bool {
	// The checks of one that goes on come one by one, until there are five.
	if ok, _ := filepath.Match("/run/unitc/*/health.[0-9]", path); ok {
		return false
	}
	return !strings.HasPrefix(path, "/run/unitc/.ids") && path != "/run/unitc/.images" && path != "/run/unitc/.turn"
}

// isLastingCgroup leaves out mounts and slices of the system: PID 1 makes and
// removes their empty cgroups at any reload.
func isLastingCgroup(path string, d fs.DirEntry) bool {
	kind := filepath.Ext(path)
	return d.IsDir() && (strings.Contains(path, "unitc") || kind != ".mount" && kind != ".slice")
}

func (s *snapshot) add(kind, what string) { *s = append(*s, kind+" "+what) }

func (s *snapshot) mounts() {
	data, _ := os.ReadFile("/proc/1/mountinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			s.add("mount", f[4])
		}
	}
}

func (s *snapshot) units() {
	out, _ := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full").Output()
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		// Devices come and go with the kernel's events, and the boot may reach
		// this target while tests run already. Of a mount that a service of the boot's
		// has PID 1 of 252 may take note later; the mount itself is looked at above.
		if len(f) > 3 && !strings.HasSuffix(f[0], ".device") && f[0] != "network-online.target" && !strings.HasPrefix(f[0], `run-credentials-systemd\x2d`) {
			s.add("unit", strings.Join(f[:4], " "))
		}
	}
}

// processes are unitc's own and the payloads, by name: PIDs are never the same.
func (s *snapshot) processes() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cgroup, _ := os.ReadFile(dir + "/cgroup")
		exe, _ := os.Readlink(dir + "/exe")
		if strings.Contains(string(cgroup), "/unitc.slice/") || filepath.Base(exe) == "unitc-exec" {
			args, _ := os.ReadFile(dir + "/cmdline")
			if len(args) == 0 {
				continue // it is ending: nothing of it is left but its status
			}
			s.add("process", strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
}

func (s *snapshot) tree(kind, root string, wanted func(string, fs.DirEntry) bool) {
	// What vanishes while it is walked is not there.
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && wanted(path, d) {
			s.add(kind, path)
		}
		return nil
	})
}

// awaitSame waits until the machine is as it was and gives what differs when
// time is up: much ends a moment after `systemctl stop` has returned.
func (s snapshot) awaitSame(patience time.Duration) string {
	for deadline := time.Now().Add(patience); ; {
		asked := time.Now()
		diff := s.diff(takeSnapshot())
		if diff == "" || time.Now().After(deadline) {
			return diff
		}
		pause(asked)
	}
}

// diff shows lines that came with "+" and lines that went with "-".
func (s snapshot) diff(now snapshot) string {
	count := map[string]int{}
	for _, line := range s {
		count[line]--
	}
	for _, line := range now {
		count[line]++
	}
	var lines []string
	for line, n := range count {
		switch {
		case n > 0:
			lines = append(lines, fmt.Sprintf("+ %s (%d)\n", line, n))
		case n < 0:
			lines = append(lines, fmt.Sprintf("- %s (%d)\n", line, -n))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// isSettled tells whether nothing is on its way that no container is there for:
// why one has failed is told, and what it has left is taken away, behind its stop.
func isSettled() bool {
	reloads.pay()
	out, err := exec.Command("systemctl", "list-units", "--plain", "--no-legend", "--full", "unitc-postmortem.service", sweepTimer, sweepUnit, "unitc-resolver.socket").Output()
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(out)) {
		members, _ := filepath.Glob("/run/unitc/.networks/*/[^.]*.json")
		if !strings.Contains(line, " failed ") && (!strings.HasPrefix(line, "unitc-resolver.") || len(members) == 0) {
			return false
		}
	}
	return true
}

// leavesNothing runs test and demands that the machine is then as it was.
func leavesNothing(t *testing.T, test func()) {
	t.Helper()
	startSlice()
	await(t, "what the tests before have left goes by itself", isSettled)
	before := takeSnapshot()
	test()
	if left := before.awaitSame(20 * time.Second); left != "" {
		t.Errorf("this differs from before:\n%s", left)
		for line := range strings.Lines(left) {
			if f := strings.Fields(line); f[0] == "+" && f[1] == "cgroup" {
				t.Log(keepers(f[2]))
			}
		}
	}
}

// keepers is what tells who keeps a cgroup, or that nobody does by now.
func keepers(cgroup string) string {
	said := cgroup
	if info, err := os.Stat(cgroup); err == nil {
		said += info.ModTime().Format(" since 15:04:05.000000")
	}
	for _, name := range []string{"events", "stat", "procs", "threads"} {
		data, err := os.ReadFile(cgroup + "/cgroup." + name)
		said += fmt.Sprintf("\ncgroup.%s: %q %v", name, data, err)
	}
	unit := filepath.Base(cgroup)
	state, _ := exec.Command("systemctl", "show", "-p", "LoadState,SubState,ControlGroup,Job", "--", unit).CombinedOutput()
	lines, _ := exec.Command("journalctl", "-q", "--no-pager", "-n", "80", "-o", "short-precise", "-u", unit, "-u", "init.scope").CombinedOutput()
	return said + "\n" + string(state) + string(lines)
}
