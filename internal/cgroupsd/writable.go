// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// What a payload that makes cgroups of its own may make at most. The kernel has
// numbers for 65,535 cgroups with a controller of memory, of all containers and of
// the host's services together (MEM_CGROUP_ID_MAX), and who removes what is left of them
// by their paths, each name of which may have 255 bytes, comes to PATH_MAX behind that
// depth. The files that say so are not among those that the payload may write.
const (
	mostCgroups = "2048"
	mostDepth   = "12"
)

// Give makes a payload's leaf the payload's to divide: root of the container may move
// its processes there and make cgroups below it, and lift no limit (cgroups(7), "Cgroup
// delegation: delegation by file ownership"). uid and gid are the host's ids of that root,
// -1 where there is nothing to change. The controllers of the unit are passed on, as far as it has
// some: without them the payload's cgroups have no limits of their own, and no more.
func Give(unit, leaf *os.File, uid, gid int) error {
	for _, limit := range []struct{ file, value string }{{"cgroup.max.descendants", mostCgroups}, {"cgroup.max.depth", mostDepth}} {
		if err := writeAt(leaf, limit.file, limit.value); err != nil {
			return err
		}
	}
	for _, file := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
		if uid < 0 {
			break
		}
		if err := unix.Fchownat(int(leaf.Fd()), file, uid, gid, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("giving %s/%s to the container's root: %w", leaf.Name(), file, err)
		}
	}
	for _, controller := range controllersOf(unit) {
		_ = writeAt(unit, "cgroup.subtree_control", "+"+controller)
	}
	return nil
}

func writeAt(dir *os.File, file, value string) error {
	fd, err := unix.Openat(int(dir.Fd()), file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil {
		return fmt.Errorf("writing %s to %s/%s: %w", value, dir.Name(), file, err)
	}
	return nil
}

func controllersOf(dir *os.File) []string {
	var names [4096]byte
	fd, err := unix.Openat(int(dir.Fd()), "cgroup.controllers", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, _ := unix.Read(fd, names[:])
	return strings.Fields(string(names[:max(n, 0)]))
}
