// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// idmap has the ids of a container with a user namespace of its own.
type idmap struct{ uids, gids []idRange }

type idRange struct{ inside, outside, length int64 }

// readIDs gives nil where ids inside are ids outside.
func readIDs(pid int) (*idmap, error) {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return nil, err
	}
	// Within one namespace the maps are those to its parent.
	if other, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid)); err == nil && other == own {
		return nil, nil
	}
	m := &idmap{}
	for _, f := range []struct {
		file string
		into *[]idRange
	}{{"uid_map", &m.uids}, {"gid_map", &m.gids}} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, f.file))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			var r idRange
			if _, err := fmt.Sscan(line, &r.inside, &r.outside, &r.length); err != nil {
				return nil, fmt.Errorf("%s of process %d: %q: %w", f.file, pid, line, err)
			}
			*f.into = append(*f.into, r)
		}
	}
	if isIdentity(m.uids) && isIdentity(m.gids) {
		return nil, nil
	}
	return m, nil
}

func isIdentity(ranges []idRange) bool {
	return len(ranges) == 1 && ranges[0].inside == ranges[0].outside
}

// overflow is the id that stands for those without another
// (/proc/sys/kernel/overflowuid).
const overflow = 65534

func inside(ranges []idRange, id int64) int64 {
	for _, r := range ranges {
		if id >= r.outside && id < r.outside+r.length {
			return id - r.outside + r.inside
		}
	}
	return overflow
}

func outside(ranges []idRange, id int64) (int64, bool) {
	for _, r := range ranges {
		if id >= r.inside && id < r.inside+r.length {
			return id - r.inside + r.outside, true
		}
	}
	return 0, false
}

// toInside gives the ids that the container's own processes see.
func (m *idmap) toInside(uid, gid int64) (int64, int64) {
	if m == nil {
		return uid, gid
	}
	return inside(m.uids, uid), inside(m.gids, gid)
}

// toOutside is the other way.
func (m *idmap) toOutside(uid, gid int64) (int64, int64, error) {
	if m == nil {
		return uid, gid, nil
	}
	u, okU := outside(m.uids, uid)
	g, okG := outside(m.gids, gid)
	if !okU || !okG {
		return 0, 0, fmt.Errorf("owner %d:%d has no id in the container", uid, gid)
	}
	return u, g, nil
}

// asRoot runs what creates files as the container's root: on an id-mapped mount
// a file can only be made by an id that the mount knows (EOVERFLOW). The thread
// keeps its capabilities and ends with the function, its ids with it.
func (m *idmap) asRoot(do func() error) error {
	if m == nil {
		return do()
	}
	uid, gid, err := m.toOutside(0, 0)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the Go runtime throws such a thread away.
		runtime.LockOSThread()
		if err := actAs(int(uid), int(gid)); err != nil {
			result <- err
			return
		}
		result <- do()
	}()
	return <-result
}

// actAs changes the ids that files are made with. setfsuid(2) takes the
// capabilities over files out of the effective set and leaves the permitted
// one, from which they are taken back (capabilities(7)).
func actAs(uid, gid int) error {
	if _, err := unix.SetfsgidRetGid(gid); err != nil {
		return fmt.Errorf("setfsgid %d: %w", gid, err)
	}
	if _, err := unix.SetfsuidRetUid(uid); err != nil {
		return fmt.Errorf("setfsuid %d: %w", uid, err)
	}
	// An id that nobody has changes nothing and gives the present one.
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != uid {
		return fmt.Errorf("setfsuid %d: the id is %d; root is needed", uid, now)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}
