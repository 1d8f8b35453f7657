// SPDX-License-Identifier: Apache-2.0

// Package cgroupfs knows where cgroup v2 is mounted and in which cgroup a
// process is: nobody else reads /proc/PID/cgroup. It changes nothing.
package cgroupfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errNone: the kernel was told to have cgroup v1 alone.
var errNone = errors.New("no cgroup v2 hierarchy; boot with systemd.unified_cgroup_hierarchy=1")

// Mount is where cgroup v2 is mounted: beside v1 it is one directory down.
func Mount() string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type != unix.CGROUP2_SUPER_MAGIC {
		return "/sys/fs/cgroup/unified"
	}
	return "/sys/fs/cgroup"
}

// Of is the cgroup v2 path of a process, below Mount; "self" is this one.
func Of(pid string) (string, error) {
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("reading the cgroup of process %s: %w", pid, err)
	}
	group, err := Parse(string(b))
	if err != nil {
		return "", fmt.Errorf("process %s: %w", pid, err)
	}
	return group, nil
}

// Parse finds the path of cgroup v2 in the text of a process's cgroup file
// (cgroups(7), "/proc/pid/cgroup"). Lines of v1 name their controllers, and a name
// may hold "0::" anywhere but in front.
func Parse(lines string) (string, error) {
	for line := range strings.Lines(lines) {
		if group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return group, nil
		}
	}
	return "", errNone
}

// UnitOf is the innermost service or scope that a process belongs to; "" = none.
func UnitOf(pid string) string {
	group, err := Of(pid)
	if err != nil {
		return ""
	}
	parts := strings.Split(group, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if strings.HasSuffix(parts[i], ".service") || strings.HasSuffix(parts[i], ".scope") {
			return parts[i]
		}
	}
	return ""
}

// SlicePath is where a slice of the system is in the hierarchy: each dash is
// a level (systemd.slice(5)).
func SlicePath(slice string) string {
	name := strings.TrimSuffix(slice, ".slice")
	if name == "-" || name == "" {
		return ""
	}
	var b strings.Builder
	for i := range len(name) {
		if name[i] == '-' {
			b.WriteString("/" + name[:i] + ".slice")
		}
	}
	return b.String() + "/" + name + ".slice"
}

// Populated tells whether a cgroup, a directory, has processes (cgroup-v2, cgroup.events).
func Populated(dir string) bool {
	events, err := os.ReadFile(dir + "/cgroup.events")
	return err == nil && strings.Contains("\n"+string(events), "\npopulated 1")
}
