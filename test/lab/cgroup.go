// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupPrefix = "unitc-lab-"

func parentDir(path string) string { return filepath.Dir(path) }

// cgroup2Mount finds the v2 hierarchy: on a hybrid host it is not at the top.
func cgroup2Mount() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		mount, fs, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if strings.HasPrefix(fs, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("looking for a cgroup2 mount: none in /proc/self/mountinfo")
}

// ownCgroup is the directory of this process's v2 cgroup.
func ownCgroup() (string, error) {
	top, err := cgroup2Mount()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(top, path), nil
		}
	}
	return "", errors.New("looking for this process's cgroup: no 0:: line in /proc/self/cgroup")
}

// enterScope moves the lab to a delegated scope where systemd is the one that
// hands cgroups out (C-2); it returns where there is nothing to do.
func enterScope() error {
	const guard = "UNITC_LAB_SCOPE"
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Getenv(guard) != "" {
		return nil // sd_booted(3) says no, or we have been here
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path, err := exec.LookPath("systemd-run")
	if err != nil {
		return err
	}
	args := []string{path, "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--", self}
	return syscall.Exec(path, append(args, os.Args[1:]...), append(os.Environ(), guard+"=1"))
}

// newCgroup makes the cgroup whose subtree the machine's systemd will own. Its
// name carries the lab's PID, by which a later run knows it for abandoned.
func newCgroup() (string, error) {
	own, err := ownCgroup()
	if err != nil {
		return "", err
	}
	sweepCgroups(own)
	dir, err := os.MkdirTemp(own, fmt.Sprintf("%s%d-", cgroupPrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("making the machine's cgroup: %w", err)
	}
	// As a root cgroup is: the systemds of users reach their own through it.
	return dir, os.Chmod(dir, 0o755)
}

// cgroupCPU is the processor time of all that ran in a cgroup, which cpu.stat
// has even where the cpu controller is not enabled.
func cgroupCPU(dir string) time.Duration {
	b, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0
	}
	var usec int64
	fmt.Sscanf(string(b), "usage_usec %d", &usec)
	return time.Duration(usec) * time.Microsecond
}

// sweepCgroups removes what labs that were killed left behind.
func sweepCgroups(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, cgroupPrefix+"*"))
	for _, dir := range left {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		pid, err := strconv.Atoi(name)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			removeCgroup(dir)
		}
	}
}

// removeCgroup removes leaves first; cgroupfs knows no other order.
func removeCgroup(dir string) {
	children, _ := os.ReadDir(dir)
	for _, child := range children {
		if child.IsDir() {
			removeCgroup(filepath.Join(dir, child.Name()))
		}
	}
	syscall.Rmdir(dir)
}
