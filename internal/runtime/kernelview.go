// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
)

// kernelViews are file systems that hold no data: interfaces of the kernel's, which none
// can be id-mapped of (proc_pid_mountinfo(5) names them so).
var kernelViews = map[string]int64{
	"proc": unix.PROC_SUPER_MAGIC, "sysfs": unix.SYSFS_MAGIC, "cgroup2": unix.CGROUP2_SUPER_MAGIC, "securityfs": unix.SECURITYFS_MAGIC,
	"debugfs": unix.DEBUGFS_MAGIC, "tracefs": unix.TRACEFS_MAGIC, "bpf": unix.BPF_FS_MAGIC, "pstore": unix.PSTOREFS_MAGIC,
	"efivarfs": unix.EFIVARFS_MAGIC, "devpts": unix.DEVPTS_SUPER_MAGIC,
}

// keepsOwners tells whether a volume that cannot be id-mapped is mounted with the host's
// ids, which are nobody's inside: less to see, nothing more to do. So it is for views of
// the kernel's, as /proc and /sys, and for read-only ones that have such a view in them, as
// `/:/host:ro`: what monitors a host mounts these. Data of other file systems would
// change hands in silence: for them it is an error.
func (l *Launch) keepsOwners(f *os.File, m specs.Mount) bool {
	if l.plan.Root.Kind == plan.RootBundle {
		return false // what it asks for is done or refused
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &fs) == nil {
		for _, magic := range kernelViews {
			if int64(fs.Type) == magic {
				return true
			}
		}
	}
	if !slices.Contains(m.Options, "ro") || !holdsKernelView(m.Source) {
		return false
	}
	l.unmapped = append(l.unmapped, m.Source)
	return true
}

// holdsKernelView tells whether one is mounted below a directory.
func holdsKernelView(source string) bool {
	path, err := filepath.EvalSymlinks(source)
	if err != nil {
		return false
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) < 5 || len(kind) < 1 || kernelViews[kind[0]] == 0 {
			continue
		}
		if strings.HasPrefix(place[4], strings.TrimSuffix(path, "/")+"/") {
			return true
		}
	}
	return false
}

// Unmapped are the sources of read-only volumes of which the payload reads only what
// everybody may.
func (l *Launch) Unmapped() []string { return l.unmapped }
