// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// process.execCPUAffinity is of a process that joins (runtime-spec, config.md): it
// is born on the initial processors, in the container's cgroup, and runs on the
// final ones. The cgroup's cpuset bounds both.

func hasAffinity(j *joiner) bool { return j.cfg.Process.ExecCPUAffinity != nil }

// onProcessors runs fork on a thread that has the initial processors, which its
// child inherits.
func (j *joiner) onProcessors(fork func() error) error {
	if !hasAffinity(j) || j.cfg.Process.ExecCPUAffinity.Initial == "" {
		return fork()
	}
	mask, _, err := bitmap("process.execCPUAffinity.initial", j.cfg.Process.ExecCPUAffinity.Initial)
	if err != nil {
		return err
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	before := make([]byte, len(mask))
	if _, _, e := unix.Syscall(unix.SYS_SCHED_GETAFFINITY, 0, uintptr(len(before)), uintptr(unsafe.Pointer(&before[0]))); e != 0 {
		return fmt.Errorf("sched_getaffinity: %w", e)
	}
	if err := setAffinity(mask); err != nil {
		return fmt.Errorf("process.execCPUAffinity.initial %q: %w", j.cfg.Process.ExecCPUAffinity.Initial, err)
	}
	err = fork()
	if back := setAffinity(before); err == nil {
		err = back
	}
	return err
}

func setAffinity(mask []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(mask)), uintptr(unsafe.Pointer(&mask[0]))); e != 0 {
		return fmt.Errorf("sched_setaffinity: %w", e)
	}
	return nil
}

// setFinalAffinity: without a list it is whatever the cgroup allows, which the
// kernel cuts the mask down to.
func setFinalAffinity(j *joiner, c *compiler) {
	list := j.cfg.Process.ExecCPUAffinity.Final
	mask, _, err := bitmap("process.execCPUAffinity.final", list)
	if err != nil {
		c.err = err
		return
	}
	if list == "" {
		for i := range mask {
			mask[i] = 0xff
		}
	}
	c.p.Call("sched_setaffinity", list, unix.SYS_SCHED_SETAFFINITY, 0, len(mask), c.p.Bytes(mask))
}
