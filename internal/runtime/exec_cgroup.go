// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupfs"
)

func (j *joiner) openCgroup() error {
	if j.cfg.Cgroup != nil {
		j.cgroup = j.cfg.Cgroup
		return nil
	}
	theirs, err := cgroupfs.Of(strconv.Itoa(j.cfg.PID))
	if err != nil {
		return err
	}
	ours, err := cgroupfs.Of("self")
	if err != nil || theirs == ours {
		return err
	}
	if j.cgroup, err = os.OpenFile(cgroupfs.Mount()+theirs, unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	j.l.own(j.cgroup)
	return nil
}
