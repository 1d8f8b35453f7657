// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/cgroupfs"
)

// mountLine is what mountinfo (proc_pid_mountinfo(5)) says of one mount.
type mountLine struct{ device, root, point string }

func mountLines(pid string) []mountLine {
	data, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil // it has ended
	}
	var out []mountLine
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) > 4 {
			out = append(out, mountLine{device: f[2], root: unescape(f[3]), point: unescape(f[4])})
		}
	}
	return out
}

// unescape undoes \040 and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Mounted gives the units, or else the processes, that have dir or something
// below it mounted elsewhere. The kernel is asked, because it alone knows it
// after a crash of anything.
func Mounted(dir string) ([]string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for mounts of %s: %w", dir, err)
	}
	var home mountLine
	for _, m := range mountLines("self") {
		if within(dir, m.point) && len(m.point) >= len(home.point) {
			home = m
		}
	}
	rel, err := filepath.Rel(home.point, dir)
	if err != nil {
		return nil, fmt.Errorf("looking for mounts of %s: %w", dir, err)
	}
	inside := filepath.Join(home.root, rel)
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for mounts of %s: %w", dir, err)
	}
	var users []string
	seen := map[string]bool{}
	for _, p := range procs {
		pid := p.Name()
		namespace, err := os.Readlink("/proc/" + pid + "/ns/mnt")
		if err != nil || seen[namespace] {
			continue
		}
		seen[namespace] = true
		for _, m := range mountLines(pid) {
			if m.device == home.device && within(m.root, inside) {
				users = append(users, unitOf(pid))
				break
			}
		}
	}
	slices.Sort(users)
	return slices.Compact(users), nil
}

func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// unitOf names a process for a person.
func unitOf(pid string) string {
	if unit := cgroupfs.UnitOf(pid); unit != "" {
		return unit
	}
	return "process " + pid
}
