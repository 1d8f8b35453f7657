// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// explainCapabilities is about a program that has capabilities of its own which
// the container has not: if they are to be effective at once, execve(2) fails
// (capabilities(7), "Safety checking for capability-dumb binaries").
func (l *Launch) explainCapabilities(name string, f *os.File, errno unix.Errno) string {
	if errno != unix.EPERM || l.spec.Process.Capabilities == nil {
		return ""
	}
	value := make([]byte, 64)
	n, err := unix.Fgetxattr(int(f.Fd()), "security.capability", value)
	if err != nil {
		return ""
	}
	permitted, effective := fileCapabilities(value[:n])
	bounding, err := capabilityMask(l.spec.Process.Capabilities.Bounding)
	missing := permitted &^ bounding
	if err != nil || !effective || missing == 0 {
		return ""
	}
	list := strings.Join(capabilityList(missing), ", ")
	return fmt.Sprintf("%s has file capabilities that the container may not have (%s); write `cap_add: [%s]`, or take them off the file with `setcap -r`", name, list, list)
}

// fileCapabilities reads struct vfs_cap_data (linux/capability.h), of revision 2
// or 3: what is permitted, and whether that is effective at once.
func fileCapabilities(value []byte) (permitted uint64, effective bool) {
	if len(value) < 20 {
		return 0, false
	}
	le := binary.LittleEndian
	return uint64(le.Uint32(value[12:]))<<32 | uint64(le.Uint32(value[4:])), le.Uint32(value)&1 == 1
}

// IgnoresSetID tells whether the payload may gain privilege from files, and its
// root file system is mounted so that none gives it (mount(8), nosuid): no call
// fails then, and the program has what it has.
func (l *Launch) IgnoresSetID() bool {
	var fs unix.Statfs_t
	return !l.spec.Process.NoNewPrivileges && l.root != nil && unix.Fstatfs(int(l.root.Fd()), &fs) == nil && fs.Flags&unix.ST_NOSUID != 0
}
