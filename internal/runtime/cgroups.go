// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A new cgroup namespace shows the cgroup that the process is in at that moment,
// and systemd makes that one while all else is mounted. So a cgroup file system
// is mounted behind all other mounts, and what is asked for at its place is too.

func isCgroup(m specs.Mount) bool { return m.Type == "cgroup" || m.Type == "cgroup2" }

// covers tells whether what is at one path hides another.
func covers(over, p string) bool {
	over, p = path.Clean("/"+over), path.Clean("/"+p)
	return over == p || over == "/" || strings.HasPrefix(p, over+"/")
}

// findLateCgroups finds the mounts, by index, that wait. Those that are hidden, by a
// later mount or as a masked path, are not made at all.
func findLateCgroups(l *Launch) (list []int) {
	if !newCgroup(l) {
		return nil
	}
	for i, m := range l.spec.Mounts {
		hides := func(p string) bool { return covers(p, m.Destination) }
		if isCgroup(m) && !slices.ContainsFunc(l.spec.Linux.MaskedPaths, hides) &&
			!slices.ContainsFunc(l.spec.Mounts[i+1:], func(later specs.Mount) bool { return hides(later.Destination) }) {
			list = append(list, i)
		}
	}
	return list
}

func mountsCgroup(l *Launch) bool { return len(l.lateCgroups) > 0 }

// inLateCgroup tells whether a path is in one of them, or is its place.
func inLateCgroup(l *Launch, p string) bool {
	return slices.ContainsFunc(l.lateCgroups, func(i int) bool { return covers(l.spec.Mounts[i].Destination, p) })
}

// checkCgroups refuses what comes too late for mask-paths, and is not there before.
func checkCgroups(l *Launch) (errs []error) {
	for i, p := range l.spec.Linux.MaskedPaths {
		if inLateCgroup(l, p) {
			errs = append(errs, fmt.Errorf("linux.maskedPaths[%d]: %s is a file of the container's own cgroup, which shows all or nothing; mask the place where that is mounted", i, p))
		}
	}
	return errs
}

func mountCgroup(c *compiler) {
	for n, i := range c.lateCgroups {
		m := c.spec.Mounts[i]
		o, err := parseOptions(m.Options)
		if err != nil {
			c.err = fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
			return
		}
		label := fmt.Sprintf("mounts[%d] dst=%s", i, m.Destination)
		o.source = m.Source
		mnt := c.newMount(label, "cgroup2", o)
		c.attach(label, mnt, c.cgroups[n])
		c.close(mnt)
		c.close(c.cgroups[n])
	}
	for _, p := range c.spec.Linux.ReadonlyPaths {
		if inLateCgroup(c.Launch, p) {
			c.readonlyPath(p)
		}
	}
}
