// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (j *joiner) openCgroup() error {
	if j.cfg.Cgroup != nil {
		j.cgroup = j.cfg.Cgroup
		return nil
	}
	theirs, err := cgroupOf(strconv.Itoa(j.cfg.PID))
	if err != nil {
		return err
	}
	ours, err := cgroupOf("self")
	if err != nil || theirs == ours {
		return err
	}
	if j.cgroup, err = os.OpenFile(cgroupRoot()+theirs, unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	j.l.own(j.cgroup)
	return nil
}

// cgroupOf reads the cgroup v2 line of /proc/PID/cgroup (cgroups(7)).
func cgroupOf(pid string) (string, error) {
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("reading the cgroup of process %s: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		if group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return group, nil
		}
	}
	return "", fmt.Errorf("process %s is in no cgroup v2", pid)
}

// cgroupRoot is where cgroup v2 is mounted: beside v1 it is one directory down.
func cgroupRoot() string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type != unix.CGROUP2_SUPER_MAGIC {
		return "/sys/fs/cgroup/unified"
	}
	return "/sys/fs/cgroup"
}
